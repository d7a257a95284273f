import { Type, type TObject, type TProperties, type TSchema } from "typebox";
import type { AnyPlugin, PluginKind } from "../plugin/define-plugin.ts";
import type { PluginRegistry } from "../plugin/registry.ts";
import { DurationSchema } from "../time/duration.ts";

/** Ids of pools and servers. They become parts of tool names and file names. */
export const ID_PATTERN = "^(?!.*__)[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$";
const ID_EXPECTS =
  "an id: a letter or digit, then up to 31 letters, digits, dots, dashes or underscores, without a double underscore";

const closed = { additionalProperties: false } as const;

/** Fields that every server has, whatever its transport. */
export const serverProfileFields = {
  serverId: Type.String({ pattern: ID_PATTERN, expects: ID_EXPECTS, description: "Unique in its pool." }),
  priority: Type.Optional(Type.Integer({ minimum: 1, default: 1, description: "Tier; 1 is the highest." })),
  group: Type.Optional(
    Type.String({ minLength: 1, maxLength: 128, description: "Name that addresses several servers together." }),
  ),
  weight: Type.Optional(
    Type.Number({ exclusiveMinimum: 0, default: 1, description: "Share of requests, for the strategy weighted." }),
  ),
  maxConnections: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 10_000, default: 10, description: "Attempts in flight at one time." }),
  ),
  timeout: Type.Optional(
    Type.Integer({ minimum: 1, default: 30_000, description: "Milliseconds one attempt may take." }),
  ),
  retryAttempts: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 100,
      default: 3,
      description: "Further attempts of a call, all servers together.",
    }),
  ),
  healthCheckInterval: Type.Optional(
    Type.Number({ minimum: 0, default: 60, description: "Seconds between health checks; 0 for none." }),
  ),
  enabled: Type.Optional(Type.Boolean({ default: true, description: "A disabled server takes no requests." })),
} satisfies TProperties;

const healthSchema = Type.Object(
  {
    enabled: Type.Optional(Type.Boolean({ default: true, description: "Check servers from time to time." })),
    failures: Type.Optional(
      Type.Integer({ minimum: 1, default: 3, description: "Consecutive failures that make a server unhealthy." }),
    ),
    successes: Type.Optional(
      Type.Integer({ minimum: 1, default: 2, description: "Consecutive successes that make it healthy again." }),
    ),
    timeout: Type.Optional(DurationSchema({ default: "5s", description: "Time one check may take." })),
    recoveryInterval: Type.Optional(
      DurationSchema({
        default: "2s",
        description: "Time between checks of a server that is not well; it grows while they find it degraded.",
      }),
    ),
    ejection: Type.Optional(
      DurationSchema({
        default: "30s",
        description:
          "Rest of a server that requests took out: where checks are off, before one request tries it; where they are on, from the second time in a row. Grows each time, up to tenfold.",
      }),
    ),
    slowStart: Type.Optional(
      DurationSchema({
        default: "10s",
        description: "Time over which a recovered server's share grows from a tenth to the whole.",
      }),
    ),
    rejections: Type.Optional(
      Type.Integer({
        minimum: 1,
        default: 5,
        description:
          "Refusals (see rejectionCodes) or broken connections in a row that count as one failure of the server.",
      }),
    ),
    rejectionCodes: Type.Optional(
      Type.Array(Type.Integer(), {
        default: [408, 429],
        uniqueItems: true,
        description:
          "Codes of answers that speak about the server when they repeat: HTTP statuses, or codes of JSON-RPC errors. Add 403 for a server whose broken permissions show that way.",
      }),
    ),
    checksPerSecond: Type.Optional(
      Type.Number({ exclusiveMinimum: 0, default: 20, description: "Most checks of the whole pool in a second." }),
    ),
  },
  { ...closed, description: "When servers are checked, and how results become a state." },
);

const queueSchema = Type.Object(
  {
    size: Type.Optional(Type.Integer({ minimum: 1, description: "Calls that may wait. Default: 1000." })),
    timeout: Type.Optional(DurationSchema({ description: "Time a call may wait. Default: 10s." })),
  },
  closed,
);

const limitsSchema = Type.Object(
  {
    queue: Type.Optional(
      Type.Union([queueSchema, Type.Literal(false)], {
        expects: "{ size, timeout }, or false for an error at once",
        description: "What happens when every server is at its maxConnections. Default: a queue.",
      }),
    ),
    minimumRate: Type.Optional(
      Type.Number({
        minimum: 1,
        default: 1_024,
        description: "Bytes per second above which a transfer outlives its server's timeout.",
      }),
    ),
    retryBudget: Type.Optional(
      Type.Number({ minimum: 0, maximum: 1, default: 0.2, description: "Retries as a share of calls." }),
    ),
    broadcastConcurrency: Type.Optional(
      Type.Integer({ minimum: 1, default: 8, description: "Servers that one group call asks at the same time." }),
    ),
  },
  { ...closed, description: "How much may happen at once." },
);

const hedgingSchema = Type.Object(
  {
    percentile: Type.Optional(
      Type.Number({
        exclusiveMinimum: 0,
        maximum: 1,
        description: "Share of answers that come sooner than a hedge is sent. Default: 0.95.",
      }),
    ),
    least: Type.Optional(DurationSchema({ description: "Time before which no hedge is sent. Default: 10ms." })),
  },
  closed,
);

const headerNames = (description: string) =>
  Type.Array(
    Type.String({ pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", expects: "a header's name, such as X-OC-Mtime" }),
    { default: [], description },
  );

const securitySchema = Type.Object(
  {
    allowHosts: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), {
        default: [],
        description: "Host names, addresses or networks that servers added at run time may use although not public.",
      }),
    ),
    allowCleartext: Type.Optional(
      Type.Boolean({ default: false, description: "Credentials over http: to other machines." }),
    ),
    managementTools: Type.Optional(
      Type.Boolean({ default: true, description: "Tools that add, change, remove and activate servers." }),
    ),
    requestHeaders: Type.Optional(
      headerNames(
        "Headers that agents may send to servers with dav_request, beside those of HTTP and WebDAV. Credentials, cookies, headers for one hop and what proxies add never pass.",
      ),
    ),
    responseHeaders: Type.Optional(
      headerNames(
        "Headers of servers' answers that agents may see, beside those of HTTP and WebDAV. Set-Cookie and headers for one hop never pass.",
      ),
    ),
  },
  { ...closed, description: "What callers at run time may do." },
);

/** How the places that name plugins are described: loosely, or with everything the plugins in use say. */
export interface SchemaParts {
  use(kind: PluginKind, description: string): TSchema;
  /** Servers of a pool whose transport is this. */
  pool(fields: TProperties): TSchema;
  sections: TProperties;
}

function poolFields(parts: SchemaParts): TProperties {
  return {
    transport: parts.use("transport", "The protocol that the servers speak."),
    strategy: Type.Optional(parts.use("selector", "How a server is picked. Default: round-robin.")),
    probe: Type.Optional(parts.use("probe", "How a server is asked whether it is well. Default: ping.")),
    failover: Type.Optional(parts.use("failover", "What follows a failed attempt. Default: default.")),
    notifiers: Type.Optional(
      Type.Array(parts.use("notifier", "A notifier."), { description: "Who is told of failovers and recoveries." }),
    ),
    policies: Type.Optional(
      Type.Array(parts.use("policy", "A policy."), { description: "What calls may do, in order." }),
    ),
    credentials: Type.Optional(parts.use("credentials", "Where credentials come from. Default: the profile.")),
    affinity: Type.Optional(parts.use("affinity", "Who remembers owners of locks. Default: memory.")),
    health: Type.Optional(healthSchema),
    limits: Type.Optional(limitsSchema),
    hedging: Type.Optional(
      Type.Union([hedgingSchema, Type.Literal(false)], {
        expects: "{ percentile, least }, or false",
        description:
          "Send a safe request that takes unusually long to a second server as well, and take the first answer. Default: false.",
      }),
    ),
    deadline: Type.Optional(
      DurationSchema({
        default: "50s",
        description: "Time a whole call may take; below the 60 s after which MCP clients give up.",
      }),
    ),
    tiers: Type.Optional(
      Type.Boolean({ default: true, description: "Use the best priority tier only, instead of all servers at once." }),
    ),
    writes: Type.Optional(
      Type.Enum(["balanced", "primary"], {
        default: "balanced",
        description: "primary: every write goes to the first server of the best tier.",
      }),
    ),
    aggregator: Type.Optional(
      parts.use("aggregator", "How answers to a group become one, where a call does not say. Default: all."),
    ),
    serverDefaults: Type.Optional(
      Type.Object(
        Object.fromEntries(
          Object.entries(serverProfileFields)
            .filter(([name]) => name !== "serverId")
            // Without their defaults: what is not written here must not be filled in here.
            .map(([name, schema]) => [name, Type.Optional({ ...schema, default: undefined })]),
        ),
        { ...closed, description: "Fields for every server that does not say otherwise." },
      ),
    ),
  };
}

/** Schema of a whole configuration. */
export function configSchema(parts: SchemaParts): TObject {
  return Type.Object(
    {
      $schema: Type.Optional(Type.String({ description: "For editors." })),
      plugins: Type.Optional(
        Type.Array(Type.Any(), { description: "Plugins beyond the built-in ones: package names, paths or values." }),
      ),
      pools: Type.Record(Type.String({ pattern: ID_PATTERN }), parts.pool(poolFields(parts)), {
        ...closed,
        expectsKeys: ID_EXPECTS,
        description: "Sets of interchangeable servers, by name.",
      }),
      store: Type.Optional(parts.use("store", "Where servers added at run time are kept. Default: file.")),
      security: Type.Optional(securitySchema),
      ...parts.sections,
    },
    closed,
  );
}

/** Names plugins by anything that could name one: their options are checked one by one, for better messages. */
export function looseParts(sections: TProperties): SchemaParts {
  return {
    use: (_kind, description) =>
      Type.Unsafe<unknown>({
        anyOf: [{ type: "string" }, { type: "object" }],
        expects: 'a plugin: its name, or { type: "name", …options }',
        description,
      }),
    pool: (fields) => Type.Object({ ...fields, servers: Type.Optional(Type.Array(Type.Object({}))) }, closed),
    sections,
  };
}

/**
 * One JSON Schema for exactly the plugins in use, for editors and for `davpool schema`. Fields that have a default
 * need not be written.
 */
export function composeSchema(registry: PluginRegistry, sections: TProperties = {}): TSchema {
  const parts: SchemaParts = {
    use: (kind, description) => anyOf(uses(registry.list(kind)), description),
    pool: (fields) =>
      anyOf(
        registry.list("transport").map((transport) =>
          Type.Object(
            {
              ...fields,
              transport: anyOf(uses([transport])),
              servers: Type.Optional(Type.Array(serverSchema(transport))),
            },
            { ...closed, title: `pool of ${String(transport.name)} servers` },
          ),
        ),
      ),
    sections,
  };
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "davpool configuration",
    ...withoutAnnotations(configSchema(parts)),
  };
}

/**
 * Profile of one server of a transport, as it is written.
 * @param transport undefined where nobody knows it: then any other fields may stand there.
 */
export function serverSchema(transport: AnyPlugin | undefined): TObject {
  if (!transport) return Type.Object(serverProfileFields);
  return Type.Object({ ...serverProfileFields, ...transport.profile?.properties }, closed);
}

/** The ways to name plugins: by name, unless there are options that must be given, and by name and options. */
function uses(plugins: readonly AnyPlugin[]): TSchema[] {
  const names = plugins.filter(({ options }) => !(options as { required?: readonly string[] }).required?.length);
  return [...(names.length > 0 ? [{ type: "string", enum: names.flatMap(namesOf) }] : []), ...plugins.map(withType)];
}

function namesOf(plugin: AnyPlugin): string[] {
  return [String(plugin.name), ...(plugin.aliases ?? [])];
}

function withType(plugin: AnyPlugin): TSchema {
  const options = plugin.options as TObject;
  return Type.Object(
    { type: Type.Enum(namesOf(plugin)), ...options.properties },
    { ...closed, title: `${String(plugin.kind)} ${String(plugin.name)}` },
  );
}

/** Nothing fits where there is nothing to choose from. */
function anyOf(schemas: readonly TSchema[], description?: string): TSchema {
  const choice = schemas.length > 0 ? { anyOf: schemas } : { not: {} };
  return Type.Unsafe<unknown>({ ...choice, ...(description !== undefined && { description }) });
}

/** Plain JSON without the annotations that only our own messages use. */
function withoutAnnotations(schema: TSchema): object {
  return JSON.parse(JSON.stringify(schema, (key, value: unknown) => (ours(key, value) ? undefined : value))) as object;
}

function ours(key: string, value: unknown): boolean {
  return (
    ((key === "expects" || key === "expectsKeys") && typeof value === "string") || (key === "conceal" && value === true)
  );
}
