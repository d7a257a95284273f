import { createRequire } from "node:module";
import {
  DurationSchema,
  ENVIRONMENT,
  SECURITY,
  SecretSchema,
  definePlugin,
  milliseconds,
  type Secret,
  type ServerProfile,
} from "@davpool/core";
import { Type, type Static } from "typebox";
import { MCP_HOST, type McpHost } from "./host.ts";
import { problemsOf } from "./profile.ts";
import { mcpTransport } from "./transport.ts";
import type { OAuthProfile } from "./wire.ts";

const { version } = createRequire(import.meta.url)("../package.json") as { version: string };

const options = Type.Object({
  startTimeout: Type.Optional(
    DurationSchema({ default: "60s", description: "Time a session may take to begin, starting the process included." }),
  ),
  connectTimeout: Type.Optional(
    DurationSchema({ default: "10s", description: "Time an HTTP connection may take to stand, TLS included." }),
  ),
  eraTimeout: Type.Optional(
    DurationSchema({
      default: "10s",
      description: "Time after which a process that does not say which era it is of counts as one of the older.",
    }),
  ),
  eraMemory: Type.Optional(
    DurationSchema({ default: "10m", description: "Time for which a server is believed to be of the older era." }),
  ),
  grace: Type.Optional(
    DurationSchema({
      default: "2s",
      description: "Time a process has to end when its input is closed, and again when it is asked to by SIGTERM.",
    }),
  ),
  backoff: Type.Optional(
    DurationSchema({ default: "500ms", description: "First pause after a session that did not begin; doubles." }),
  ),
  longestBackoff: Type.Optional(DurationSchema({ default: "30s", description: "Longest such pause." })),
  longestMessage: Type.Optional(
    Type.Integer({
      minimum: 1024,
      default: 67_108_864,
      description: "Bytes of one message from a server. A longer answer fails its call, and nothing else.",
    }),
  ),
  sessions: Type.Optional(
    Type.Enum(["auto", "own", "shared"], {
      default: "auto",
      description:
        "Who has a session of its own with each server: own, every session of a caller, or else every principal; auto, the same, except with servers of the modern era, which keep none; shared, nobody.",
    }),
  ),
  maxProcesses: Type.Optional(
    Type.Integer({
      minimum: 1,
      default: 32,
      description: "Processes that one server with a command may have at once, the shared one included.",
    }),
  ),
});

const text = Type.String({ minLength: 1 });
const closed = { additionalProperties: false } as const;

const profile = Type.Object({
  command: Type.Optional(
    Type.Union([text, Type.Array(Type.String(), { minItems: 1 })], {
      expects: 'a program, or a program and its arguments such as ["npx", "-y", "some-server"]',
      description: "A program to run, or a program and its arguments. Give this or url.",
    }),
  ),
  args: Type.Optional(Type.Array(Type.String(), { description: "Arguments, where command is the program alone." })),
  env: Type.Optional(
    Type.Record(Type.String(), SecretSchema(), {
      description: "Variables for the program: texts, or where to find them.",
    }),
  ),
  inheritEnv: Type.Optional(
    Type.Array(text, {
      description:
        "Variables of davpool's own environment that the program gets, beyond HOME, LOGNAME, PATH, SHELL, TERM and USER.",
    }),
  ),
  cwd: Type.Optional(Type.String({ minLength: 1, description: "The program's working directory." })),
  url: Type.Optional(Type.String({ minLength: 1, description: "The MCP endpoint. Give this or command." })),
  transport: Type.Optional(
    Type.Enum(["http", "sse"], { description: "Streamable HTTP, or the HTTP+SSE of 2024. Default: http." }),
  ),
  token: Type.Optional(SecretSchema({ description: "Bearer token for a url: text, or where to find it." })),
  headers: Type.Optional(
    Type.Record(Type.String(), SecretSchema(), { description: "Headers for a url: texts, or where to find them." }),
  ),
  oauth: Type.Optional(
    Type.Object(
      {
        tokenUrl: Type.Optional(Type.String({ minLength: 1, description: "The token endpoint. Give this or issuer." })),
        issuer: Type.Optional(Type.String({ minLength: 1, description: "Whose metadata names the token endpoint." })),
        clientId: text,
        clientSecret: SecretSchema({ description: "Text, or where to find it." }),
        scopes: Type.Optional(Type.Array(text)),
      },
      { ...closed, description: "OAuth client credentials for a url." },
    ),
  ),
  era: Type.Optional(
    Type.Enum(["auto", "legacy", "modern"], {
      description: "Which generation of the protocol to speak. Default: auto, find out.",
    }),
  ),
});

declare module "@davpool/core" {
  interface TransportOptions {
    mcp: Static<typeof options>;
  }
  interface TransportProfiles {
    mcp: {
      readonly serverId: string;
      readonly command?: string | readonly [string, ...string[]];
      readonly args?: readonly string[];
      readonly env?: Readonly<Record<string, Secret>>;
      readonly inheritEnv?: readonly string[];
      readonly cwd?: string;
      readonly url?: string;
      readonly transport?: "http" | "sse";
      readonly token?: Secret;
      readonly headers?: Readonly<Record<string, Secret>>;
      readonly oauth?: OAuthProfile;
      readonly era?: "auto" | "legacy" | "modern";
    } & Partial<Omit<ServerProfile, "serverId">>;
  }
}

/** Nobody can be asked anything, and nobody hears what is said. */
const nobody: McpHost = { client: () => ({ capabilities: {} }) };

/** The `mcp` transport. A program that wants to be asked, and to hear, provides {@link MCP_HOST}. */
export const mcp = definePlugin({
  kind: "transport",
  name: "mcp",
  options,
  profile,
  checkProfile: problemsOf,
  create(context, given) {
    const duration = (written: string | number | undefined, otherwise: string) =>
      milliseconds((written ?? otherwise) as "1s");
    return mcpTransport({
      settings: {
        name: "davpool",
        version,
        startTimeout: duration(given.startTimeout, "60s"),
        connectTimeout: duration(given.connectTimeout, "10s"),
        probeTimeout: Math.max(1, duration(given.eraTimeout, "10s")),
        grace: duration(given.grace, "2s"),
        firstPause: duration(given.backoff, "500ms"),
        longestPause: duration(given.longestBackoff, "30s"),
        longestMessage: given.longestMessage ?? 67_108_864,
      },
      sessions: given.sessions ?? "auto",
      maxProcesses: given.maxProcesses ?? 32,
      legacyFor: duration(given.eraMemory, "10m"),
      security: context.services.get(SECURITY),
      secrets: { environment: context.services.get(ENVIRONMENT), baseDirectory: context.baseDirectory },
      clock: context.clock,
      log: context.log,
      random: context.random,
      pool: context.pool,
      host: context.services.has(MCP_HOST) ? context.services.get(MCP_HOST) : nobody,
    });
  },
});
