import {
  AddressGuard,
  type Caller,
  type Clock,
  type Log,
  type SecretContext,
  type SecurityRules,
  type Transport,
} from "@davpool/core";
import { McpConnection } from "./connection.ts";
import { Eras } from "./eras.ts";
import { explain, judge, refusal } from "./failures.ts";
import type { McpHost } from "./host.ts";
import { learned, traitsOf } from "./methods.ts";
import type { TransportSettings } from "./opening.ts";
import { admit } from "./profile.ts";
import { Sessions } from "./sessions.ts";
import type { McpProfile, McpWire } from "./wire.ts";

export interface TransportParts {
  readonly settings: TransportSettings;
  /** Whose sessions with a server are kept apart. */
  readonly sessions: "auto" | "own" | "shared";
  /** Those that one server may have at once. */
  readonly maxProcesses: number;
  /** Milliseconds for which a server is believed to be of the older era. */
  readonly legacyFor: number;
  readonly security: SecurityRules;
  readonly secrets: SecretContext;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
  /** The name of the pool. */
  readonly pool: string;
  readonly host: McpHost;
}

/** MCP servers as davpool sees them. */
export function mcpTransport(parts: TransportParts): Transport<McpWire> {
  const { security, clock, log } = parts;
  const eras = new Eras(clock, parts.legacyFor);
  const sessions = new Sessions(parts.sessions === "own", eras, parts.maxProcesses);
  const shared = {
    ...parts,
    eras,
    sessions,
    addresses: new AddressGuard(security.allowHosts),
  };
  return {
    name: "mcp",
    secretFields: ["token", "headers", "env", "oauth"],
    secretsOrigin: ({ url }) => (typeof url === "string" ? URL.parse(url)?.origin : undefined),
    async admit(profile, origin) {
      const warnings = admit(profile, origin, security);
      if (origin === "added" && profile.url !== undefined) await shared.addresses.admit(new URL(profile.url));
      return warnings;
    },
    async connect(profile, init) {
      // What was stored may be older than the rules.
      admit(profile, init.origin, security);
      // Half of the time that davpool takes to start, and only those need it who have MCP servers.
      const { openingOf } = await import("./opening.ts");
      return new McpConnection(openingOf(profile, init, shared), profile.maxConnections, init.clock, log, init.signal);
    },
    ...(parts.sessions !== "shared" && {
      partition: (profile: McpProfile, caller: Caller) => sessions.partition(profile, caller),
    }),
    traits: traitsOf,
    serves: ({ serverId }, { servers }) => servers?.has(serverId) ?? true,
    judge: (response) => judge(response, clock),
    refusal,
    explain,
    affinity: learned,
    // Answers are read whole: nothing is held.
    discard() {},
  };
}
