import { ConfigError, suggestion, type ConfigIssue } from "@davpool/core";

/** Environment variables by name, as `process.env` has them. */
export type Environment = Readonly<Record<string, string | undefined>>;

type Json = Readonly<Record<string, unknown>>;

/** What the `DAV_*` variables say, as parts of a configuration. */
export interface EnvironmentSettings {
  readonly strategy?: string;
  readonly failover?: Json;
  readonly idleTimeout?: number;
  readonly healthEnabled?: boolean;
  readonly maxConnections?: number;
  /** The server called `default`. */
  readonly server?: Json;
}

/**
 * Reads the `DAV_*` variables.
 * @param strategies names that `DAV_LOAD_BALANCE_STRATEGY` may have.
 * @throws ConfigError naming each variable that is wrong.
 */
export function readEnvironment(environment: Environment, strategies: readonly string[]): EnvironmentSettings {
  const issues: ConfigIssue[] = [];
  const given = (name: string) => (environment[name] === "" ? undefined : environment[name]);

  function flag(name: string): boolean | undefined {
    const value = given(name)?.toLowerCase();
    if (value === undefined) return undefined;
    if (value === "true" || value === "1") return true;
    if (value === "false" || value === "0") return false;
    issues.push({ path: name, message: `must be true or false; got "${value}".` });
    return undefined;
  }
  function whole(name: string, least: number): number | undefined {
    const value = given(name);
    if (value === undefined) return undefined;
    if (/^\d+$/.test(value) && Number(value) >= least) return Number(value);
    issues.push({ path: name, message: `must be a whole number of at least ${least}; got "${value}".` });
    return undefined;
  }

  const strategy = given("DAV_LOAD_BALANCE_STRATEGY");
  if (strategy !== undefined && !strategies.includes(strategy)) {
    const hint = suggestion(strategy, strategies);
    issues.push({
      path: "DAV_LOAD_BALANCE_STRATEGY",
      message: `there is no strategy "${strategy}"; known: ${strategies.join(", ")}.`,
      ...(hint !== undefined && { suggestion: hint }),
    });
  }
  const failoverEnabled = flag("DAV_FAILOVER_ENABLED");
  const healthEnabled = flag("DAV_HEALTH_CHECK_ENABLED");
  const idleTimeout = whole("DAV_POOL_IDLE_TIMEOUT_MS", 1);
  const maxConnections = whole("DAV_DEFAULT_MAX_CONNECTIONS", 1);
  const url = given("DAV_SERVER_URL");
  if (url === undefined && (given("DAV_USERNAME") ?? given("DAV_PASSWORD")) !== undefined)
    issues.push({ path: "DAV_SERVER_URL", message: "is missing, while DAV_USERNAME or DAV_PASSWORD is set." });
  if (issues.length > 0) throw new ConfigError("The environment", issues);

  const username = given("DAV_USERNAME");
  return {
    ...(strategy !== undefined && { strategy }),
    ...(failoverEnabled !== undefined && { failover: { type: "default", enabled: failoverEnabled } }),
    ...(idleTimeout !== undefined && { idleTimeout }),
    ...(healthEnabled !== undefined && { healthEnabled }),
    ...(maxConnections !== undefined && { maxConnections }),
    ...(url !== undefined && {
      server: {
        serverId: "default",
        url,
        ...(username !== undefined && { username }),
        ...(given("DAV_PASSWORD") !== undefined && { password: { env: "DAV_PASSWORD" } }),
      },
    }),
  };
}

/**
 * Puts what the environment says below what the file says. The variables speak of the first WebDAV pool; without a
 * file they make one, called `files`.
 */
export function withEnvironment(config: unknown, settings: EnvironmentSettings): unknown {
  if (config === undefined) return { pools: { files: pool({ transport: "webdav", servers: [] }, settings) } };
  if (!isRecord(config) || !isRecord(config.pools)) return config;
  const first = Object.entries(config.pools).find(([, candidate]) => isRecord(candidate) && isWebDav(candidate));
  if (!first) return config;
  const [name, found] = first;
  return { ...config, pools: { ...config.pools, [name]: pool(found as Json, settings) } };
}

function pool(written: Json, settings: EnvironmentSettings): Json {
  const { strategy, failover, idleTimeout, healthEnabled, maxConnections, server } = settings;
  const servers = Array.isArray(written.servers) ? written.servers : [];
  return {
    ...(strategy !== undefined && { strategy }),
    ...(failover !== undefined && { failover }),
    ...written,
    ...(idleTimeout !== undefined && { transport: withOption(written.transport, "idleTimeout", idleTimeout) }),
    ...(healthEnabled !== undefined && { health: below({ enabled: healthEnabled }, written.health) }),
    ...(maxConnections !== undefined && { serverDefaults: below({ maxConnections }, written.serverDefaults) }),
    ...(server !== undefined && servers.length === 0 && { servers: [server] }),
  };
}

function below(value: Json, written: unknown): unknown {
  return written === undefined ? value : isRecord(written) ? { ...value, ...written } : written;
}

function withOption(transport: unknown, option: string, value: unknown): unknown {
  if (typeof transport === "string") return { type: transport, [option]: value };
  // A transport given as a value has no place for an option from outside.
  return isRecord(transport) && !("contract" in transport) ? { [option]: value, ...transport } : transport;
}

function isWebDav(candidate: Json): boolean {
  const { transport } = candidate;
  if (isRecord(transport)) return transport.type === "webdav" || transport.name === "webdav";
  return transport === "webdav";
}

function isRecord(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
