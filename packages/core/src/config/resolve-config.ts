import type { TProperties, TSchema } from "typebox";
import type { ProfileInput } from "../contracts/pool.ts";
import { ConfigError, PackageMissingError, type ConfigIssue } from "../errors/config-errors.ts";
import { describeError } from "../errors/davpool-error.ts";
import { describeThrown } from "../errors/plugin-errors.ts";
import type { AnyPlugin, PluginKind } from "../plugin/define-plugin.ts";
import { PluginRegistry, isPlugin, pluginProblem } from "../plugin/registry.ts";
import { milliseconds, type Duration } from "../time/duration.ts";
import { plainCopy } from "./plain-copy.ts";
import { configSchema, looseParts } from "./schema.ts";
import { profileReader, type CompleteProfile } from "./server-profile.ts";
import { member, validator, type Validator } from "./validate.ts";

/** A plugin together with its checked options, defaults filled in. */
/** Time-outs of the request and too many requests, which say little about a server unless they repeat. */
const REJECTION_CODES: readonly number[] = [408, 429];

export interface PluginUse {
  readonly plugin: AnyPlugin;
  readonly options: Readonly<Record<string, unknown>>;
}

export interface HealthSettings {
  readonly enabled: boolean;
  readonly failures: number;
  readonly successes: number;
  /** Milliseconds, as all durations here. */
  readonly timeout: number;
  readonly recoveryInterval: number;
  readonly ejection: number;
  readonly slowStart: number;
  /** Refusals in a row that count as one failure. */
  readonly rejections: number;
  /** Codes of the answers that count as refusals. */
  readonly rejectionCodes: ReadonlySet<string | number>;
  readonly checksPerSecond: number;
}

export interface LimitSettings {
  /** False: an error at once when no slot is free. */
  readonly queue: false | { readonly size: number; readonly timeout: number };
  /** Bytes per second. */
  readonly minimumRate: number;
  readonly retryBudget: number;
  readonly broadcastConcurrency: number;
}

export interface HedgingSettings {
  /** Share of answers, 0 to 1, that come sooner than a hedge is sent. */
  readonly percentile: number;
  /** Milliseconds before which no hedge is sent. */
  readonly least: number;
}

/** A pool's configuration, checked and complete. */
export interface ResolvedPool {
  readonly name: string;
  /** The first pool of the configuration. */
  readonly primary: boolean;
  readonly transport: PluginUse;
  readonly strategy: PluginUse;
  readonly probe: PluginUse;
  readonly failover: PluginUse;
  readonly policies: readonly PluginUse[];
  readonly notifiers: readonly PluginUse[];
  readonly credentials: PluginUse;
  readonly affinity: PluginUse;
  readonly store: PluginUse;
  readonly health: HealthSettings;
  readonly limits: LimitSettings;
  /** False: a request waits for its server. */
  readonly hedging: false | HedgingSettings;
  /** Milliseconds. */
  readonly deadline: number;
  readonly tiers: boolean;
  readonly writes: "balanced" | "primary";
  /** Name of the aggregator for broadcasts that name none. */
  readonly aggregator: string;
  readonly serverDefaults: Readonly<Record<string, unknown>>;
  readonly servers: readonly ProfileInput[];
}

export interface ResolvedConfig {
  readonly file: string | undefined;
  readonly baseDirectory: string;
  readonly registry: PluginRegistry;
  readonly services: readonly PluginUse[];
  readonly pools: readonly ResolvedPool[];
  readonly security: {
    readonly allowHosts: readonly string[];
    readonly allowCleartext: boolean;
    readonly managementTools: boolean;
    readonly requestHeaders: readonly string[];
    readonly responseHeaders: readonly string[];
  };
  /** The top-level keys that belong to whoever hosts the pools. */
  readonly sections: Readonly<Record<string, unknown>>;
}

export interface ResolveOptions {
  /** The file it came from, for messages. */
  readonly file?: string;
  /** Folder that relative paths count from. */
  readonly baseDirectory: string;
  /** Built-in plugins. */
  readonly plugins: readonly AnyPlugin[];
  /** Schemas of further top-level keys. */
  readonly sections?: TProperties;
  /**
   * What is wrong with these keys beyond their schemas, in view of the pools. Asked also where other things are wrong, so
   * that everything is told at once: what is written need not fit the schemas.
   */
  readonly checkSections?: (
    sections: Readonly<Record<string, unknown>>,
    pools: readonly CheckedPoolName[],
  ) => readonly ConfigIssue[];
  /** Imports a plugin package or file named in `plugins`; resolves to what it exports. */
  readonly importPlugin?: (name: string) => Promise<unknown>;
  /** Name of the plugin used where the configuration names none. */
  readonly defaults?: Partial<Record<PluginKind, string>>;
}

/** A pool as it is written, right or not. */
export interface CheckedPoolName {
  readonly name: string;
  /** Name of its transport; undefined when nobody knows it. */
  readonly transport: string | undefined;
}

const DEFAULT_NAMES: Partial<Record<PluginKind, string>> = {
  selector: "round-robin",
  probe: "ping",
  failover: "default",
  credentials: "profile",
  affinity: "memory",
  aggregator: "all",
  store: "file",
};

/**
 * Checks a configuration against the plugins in use and fills in every default.
 * @throws ConfigError with everything that is wrong, each with its path.
 */
export async function resolveConfig(raw: unknown, options: ResolveOptions): Promise<ResolvedConfig> {
  const issues: ConfigIssue[] = [];
  const registry = new PluginRegistry(options.plugins);
  const sections = options.sections ?? NO_SECTIONS;
  const fail = () => new ConfigError(options.file, issues);

  if (typeof raw !== "object" || raw === null || Array.isArray(raw)) {
    issues.push({
      path: "",
      message: "must be an object with at least the key pools: export it as the default export.",
    });
    throw fail();
  }
  // Defaults are filled into ours and not into the author's.
  const config = plainCopy(raw, isPlugin) as Record<string, unknown>;
  if (Array.isArray(config.plugins)) {
    await registerPlugins(config.plugins, registry, issues, options.importPlugin);
  }
  issues.push(...validator(wholeSchema(sections))(config));

  const use = (kind: PluginKind, value: unknown, path: string): PluginUse | undefined =>
    resolveUse(kind, value ?? options.defaults?.[kind] ?? DEFAULT_NAMES[kind], path, registry, issues);

  const store = use("store", config.store, "store");
  const pools: ResolvedPool[] = [];
  const names: CheckedPoolName[] = [];
  const written = isRecord(config.pools) ? Object.entries(config.pools) : [];
  for (const [name, pool] of written) {
    if (!isRecord(pool)) continue;
    const path = member("pools", name);
    const at = (key: string) => member(path, key);
    const transport = pool.transport === undefined ? undefined : use("transport", pool.transport, at("transport"));
    names.push({ name, transport: transport && String(transport.plugin.name) });
    const useEach = (kind: PluginKind, list: unknown, place: string) =>
      (Array.isArray(list) ? list : []).map((value: unknown, index) => use(kind, value, member(place, String(index))));
    const policies = useEach("policy", pool.policies, at("policies"));
    const notifiers = useEach("notifier", pool.notifiers, at("notifiers"));
    const serverDefaults = isRecord(pool.serverDefaults) ? pool.serverDefaults : {};
    const servers = readServers(transport?.plugin, serverDefaults, pool.servers, at("servers"), issues);
    const aggregator = use("aggregator", pool.aggregator, at("aggregator"));
    const parts = {
      strategy: use("selector", pool.strategy, at("strategy")),
      probe: use("probe", pool.probe, at("probe")),
      failover: use("failover", pool.failover, at("failover")),
      credentials: use("credentials", pool.credentials, at("credentials")),
      affinity: use("affinity", pool.affinity, at("affinity")),
    };
    const used: readonly (readonly [string, PluginUse | undefined])[] = [
      ...Object.entries({ transport, ...parts }).map(([key, part]) => [at(key), part] as const),
      ...policies.map((part, index) => [member(at("policies"), String(index)), part] as const),
      ...notifiers.map((part, index) => [member(at("notifiers"), String(index)), part] as const),
    ];
    for (const [place, part] of used) if (part) issues.push(...beyondSchema(part, place, servers, issues));
    if (issues.length === 0) {
      pools.push({
        name,
        primary: pools.length === 0,
        ...(parts as Record<keyof typeof parts, PluginUse>),
        transport: transport as PluginUse,
        store: store as PluginUse,
        policies: policies as PluginUse[],
        notifiers: notifiers as PluginUse[],
        health: healthSettings(pool.health),
        limits: limitSettings(pool.limits),
        hedging: hedgingSettings(pool.hedging),
        deadline: milliseconds(pool.deadline as Duration),
        tiers: pool.tiers as boolean,
        writes: pool.writes as "balanced" | "primary",
        aggregator: String(aggregator?.plugin.name),
        serverDefaults,
        servers,
      });
    }
  }
  if (written.length === 0 && isRecord(config.pools))
    issues.push({ path: "pools", message: "is empty; declare at least one pool." });

  const services = registry.list("service").flatMap((plugin) => {
    const service = resolveUse("service", plugin, "plugins", registry, issues);
    return service ? [service] : [];
  });
  issues.push(
    ...(options.checkSections?.(
      { ...sectionsIn(config, sections), ...(config.security !== undefined && { security: config.security }) },
      names,
    ) ?? []),
  );
  if (issues.length > 0) throw fail();

  return {
    file: options.file,
    baseDirectory: options.baseDirectory,
    registry,
    services,
    pools,
    security: {
      allowHosts: [],
      allowCleartext: false,
      managementTools: true,
      requestHeaders: [],
      responseHeaders: [],
      ...(config.security as Partial<ResolvedConfig["security"]> | undefined),
    },
    sections: sectionsIn(config, sections),
  };
}

function sectionsIn(config: Readonly<Record<string, unknown>>, sections: TProperties): Record<string, unknown> {
  return Object.fromEntries(Object.keys(sections).map((key) => [key, config[key]]));
}

async function registerPlugins(
  entries: readonly unknown[],
  registry: PluginRegistry,
  issues: ConfigIssue[],
  importPlugin: ResolveOptions["importPlugin"],
): Promise<void> {
  for (const [index, entry] of entries.entries()) {
    const path = member("plugins", String(index));
    if (typeof entry !== "string") {
      const problem = pluginProblem(entry) ?? registry.register(entry as AnyPlugin);
      if (problem !== undefined) issues.push({ path, message: `${problem}.` });
      continue;
    }
    if (!importPlugin) {
      issues.push({
        path,
        message: `"${entry}" names a package, and packages cannot be imported here; give the plugin as a value.`,
      });
      continue;
    }
    let exported: unknown;
    try {
      exported = await importPlugin(entry);
    } catch (error) {
      const [reason = ""] = describeThrown(error).split("\n");
      const remedy =
        error instanceof PackageMissingError
          ? ` Install it where the configuration is: npm install ${packageOf(entry)}`
          : "";
      issues.push({ path, message: `"${entry}" cannot be imported: ${reason}.${remedy}` });
      continue;
    }
    const module = exported as { default?: unknown } | null | undefined;
    const candidates = [module?.default ?? module].flat();
    for (const candidate of candidates) {
      const problem = pluginProblem(candidate) ?? registry.register(candidate as AnyPlugin);
      if (problem !== undefined) issues.push({ path, message: `the default export of "${entry}" ${problem}.` });
    }
  }
}

/** `@scope/name` of `@scope/name/part`. */
function packageOf(entry: string): string {
  return entry.split("/", entry.startsWith("@") ? 2 : 1).join("/");
}

function resolveUse(
  kind: PluginKind,
  value: unknown,
  path: string,
  registry: PluginRegistry,
  issues: ConfigIssue[],
): PluginUse | undefined {
  if (isPlugin(value)) {
    if (value.kind !== kind) {
      issues.push({
        path,
        message: `is the ${String(value.kind)} plugin "${String(value.name)}"; a ${kind} is needed here.`,
      });
      return undefined;
    }
    return withOptions(value, {}, path, issues);
  }
  if (isRecord(value) && "contract" in value) {
    issues.push({ path, message: `${String(pluginProblem(value))}.` });
    return undefined;
  }
  const { type, ...options } = (typeof value === "string" ? { type: value } : value) as Record<string, unknown>;
  if (typeof type !== "string") {
    // A value of another type is reported by the schema of the whole.
    if (isRecord(value)) issues.push({ path: member(path, "type"), message: `is missing; it names the ${kind}.` });
    return undefined;
  }
  const plugin = registry.get(kind, type);
  if (!plugin) {
    issues.push(registry.unknown(kind, type, path));
    return undefined;
  }
  return withOptions(plugin, options, path, issues);
}

function withOptions(
  plugin: AnyPlugin,
  options: Record<string, unknown>,
  path: string,
  issues: ConfigIssue[],
): PluginUse {
  const schema = plugin.options as Parameters<typeof validator>[0];
  const closed = closedSchemas.get(schema) ?? { ...schema, additionalProperties: false };
  closedSchemas.set(schema, closed);
  issues.push(...checked(plugin, validator(closed), options, path));
  return { plugin, options };
}

/** What a plugin has to say about its options and the pool they are for, once they fit its schema. */
function beyondSchema(
  { plugin, options }: PluginUse,
  path: string,
  servers: readonly ProfileInput[],
  known: readonly ConfigIssue[],
): readonly ConfigIssue[] {
  if (!plugin.check || known.some((issue) => issue.path.startsWith(path))) return [];
  // One that has none is reported as having none.
  const serverIds = servers.map((server): unknown => server.serverId).filter((id) => typeof id === "string");
  return told(plugin, path, () => plugin.check?.(options, { serverIds }) ?? []);
}

/** What a plugin says of what stands at a path. One that cannot say it is reported itself. */
function told(plugin: AnyPlugin, path: string, ask: () => readonly ConfigIssue[]): readonly ConfigIssue[] {
  try {
    return ask().map((issue) => ({
      ...issue,
      path: issue.path === "" || issue.path.startsWith("[") ? path + issue.path : `${path}.${issue.path}`,
    }));
  } catch (error) {
    const name = `${String(plugin.kind)} plugin "${String(plugin.name)}"`;
    return [{ path, message: `cannot be checked: the ${name} failed at it: ${describeThrown(error)}.` }];
  }
}

/** A schema that is wrong in itself is its plugin's fault, and reported like what is wrong with the configuration. */
function checked(plugin: AnyPlugin, check: Validator, value: unknown, path: string): readonly ConfigIssue[] {
  try {
    return check(value, path);
  } catch (error) {
    const name = `${String(plugin.kind)} plugin "${String(plugin.name)}"`;
    return [{ path, message: `the ${name} has a schema that cannot be used: ${describeError(error)}.` }];
  }
}

const NO_SECTIONS: TProperties = {};

function wholeSchema(sections: TProperties): TSchema {
  const schema = wholeSchemas.get(sections) ?? configSchema(looseParts(sections));
  wholeSchemas.set(sections, schema);
  return schema;
}

// One object per schema, so that each is compiled once, however often configurations are read: that takes time, and the
// compiler keeps something of all it has ever compiled.
const wholeSchemas = new WeakMap<TProperties, TSchema>();
const closedSchemas = new WeakMap<object, Parameters<typeof validator>[0]>();

function readServers(
  transport: AnyPlugin | undefined,
  defaults: Readonly<Record<string, unknown>>,
  servers: unknown,
  path: string,
  issues: ConfigIssue[],
): ProfileInput[] {
  if (!Array.isArray(servers)) return [];
  const read = profileReader(transport, defaults);
  const places = new Map<string, string>();
  return servers.flatMap((server: unknown, index) => {
    const place = member(path, String(index));
    if (!isRecord(server)) return [];
    let profile = server as unknown as ProfileInput;
    const check: Validator = (written, at) => {
      const result = read(written as Record<string, unknown>, at);
      profile = result.profile;
      return [...result.issues];
    };
    const found = transport ? checked(transport, check, server, place) : check(server, place);
    issues.push(...found);
    // What does not fit its schema cannot be looked at more closely.
    if (transport?.checkProfile && found.length === 0)
      issues.push(...told(transport, place, () => transport.checkProfile?.(profile as CompleteProfile) ?? []));
    const { serverId } = profile;
    // One that is missing is reported as missing.
    const first = typeof serverId === "string" ? places.get(serverId) : undefined;
    if (first !== undefined)
      issues.push({
        path: `${place}.serverId`,
        message: `"${serverId}" is taken by ${first}; server ids are unique in a pool.`,
      });
    places.set(serverId, place);
    return [profile];
  });
}

function healthSettings(value: unknown): HealthSettings {
  const health = value as Partial<Record<keyof HealthSettings, never>> | undefined;
  return {
    enabled: health?.enabled ?? true,
    failures: health?.failures ?? 3,
    successes: health?.successes ?? 2,
    timeout: milliseconds(health?.timeout ?? "5s"),
    recoveryInterval: milliseconds(health?.recoveryInterval ?? "2s"),
    ejection: milliseconds(health?.ejection ?? "30s"),
    slowStart: milliseconds(health?.slowStart ?? "10s"),
    rejections: health?.rejections ?? 5,
    rejectionCodes: new Set(health?.rejectionCodes ?? REJECTION_CODES),
    checksPerSecond: health?.checksPerSecond ?? 20,
  };
}

function limitSettings(value: unknown): LimitSettings {
  const limits = value as Partial<Record<keyof LimitSettings, never>> | undefined;
  const queue = limits?.queue as false | { size?: number; timeout?: Duration } | undefined;
  return {
    queue: queue === false ? false : { size: queue?.size ?? 1_000, timeout: milliseconds(queue?.timeout ?? "10s") },
    minimumRate: limits?.minimumRate ?? 1_024,
    retryBudget: limits?.retryBudget ?? 0.2,
    broadcastConcurrency: limits?.broadcastConcurrency ?? 8,
  };
}

function hedgingSettings(value: unknown): false | HedgingSettings {
  if (value === undefined || value === false) return false;
  const { percentile = 0.95, least = "10ms" } = value as { percentile?: number; least?: Duration };
  return { percentile, least: milliseconds(least) };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
