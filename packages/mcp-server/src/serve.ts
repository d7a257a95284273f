import {
  ConfigError,
  openPools,
  systemClock,
  type Log,
  type OpenPools,
  type Pool,
  type ResolvedConfig,
} from "@davpool/core";
import type { WebDavWire } from "@davpool/transport-webdav";
import { StdioServerTransport, serveStdio } from "@modelcontextprotocol/server/stdio";
import { identityOf, type ConfigurationSource } from "./configuration.ts";
import { EXTENSION } from "./extension.ts";
import { McpEndpoint } from "./http/endpoint.ts";
import { isLoopbackHost } from "./http/guard.ts";
import { ENDPOINT, HttpHost, type Identity } from "./http/http-host.ts";
import { httpSettings, type HttpSection } from "./http/section.ts";
import { Authenticator } from "./identity/index.ts";
import { McpServers } from "./mcp-server.ts";
import { Reloader } from "./reload/index.ts";
import { PoolResources } from "./resources.ts";
import { toolSettings } from "./sections.ts";
import { sessionSettings, type SessionsSection } from "./sessions/section.ts";
import { telemetrySettings } from "./telemetry/settings.ts";
import type { TelemetrySection } from "./telemetry/section.ts";
import { startTelemetry, type Telemetry } from "./telemetry/start-telemetry.ts";
import { webDavTools } from "./tools/index.ts";
import type { Tool } from "./tools/tool.ts";

/** The longest message a client may send over stdio: a file of about 48 MiB as base64. */
const LONGEST_MESSAGE = 64 * 1024 * 1024;
/** Milliseconds that telemetry gets to send what is left. */
const LAST_EXPORT = 3_000;

/** How the command line wants HTTP, over what the configuration says. */
export interface HttpOptions {
  readonly host?: string;
  readonly port?: number;
  /** Listen to the network although nobody is asked who they are. */
  readonly allowAnonymous?: boolean;
}

export interface ServeOptions {
  /** Serve over HTTP; default: over standard input and output. */
  readonly http?: HttpOptions | undefined;
  /** Where the configuration came from, so that it can be read anew. */
  readonly source?: ConfigurationSource;
  /** Read it anew when its file changes. */
  readonly watch?: boolean;
}

/** The tools of every pool in a configuration. */
export function toolsOf(config: ResolvedConfig, open: OpenPools): readonly Tool[] {
  const webDav = config.pools
    .filter((settings) => settings.transport.plugin.name === "webdav")
    .map(({ name, deadline }) => ({ pool: open.pools.get(name) as Pool<WebDavWire>, deadline }));
  return webDavTools(webDav, {
    management: config.security.managementTools,
    maxBodySize: toolSettings(config.sections.tools).maxBodySize,
  });
}

/**
 * Serves the pools of a configuration, over standard input and output until the client closes its end, or over HTTP;
 * until `stop` aborts; then lets what is in flight end, and closes.
 */
export async function serve(
  config: ResolvedConfig,
  log: Log,
  stop: AbortSignal,
  options: ServeOptions = {},
): Promise<void> {
  // Metrics that are made before it are recorded nowhere.
  const telemetry = await startTelemetry(
    telemetrySettings(config.sections.telemetry as TelemetrySection | undefined, process.env),
    { log, baseDirectory: config.baseDirectory, signal: stop },
  );
  try {
    await using open = await openPools(config, { log, signal: stop });
    using servers = new McpServers({
      tools: toolsOf(config, open),
      resources: new PoolResources(open),
      extension: open.services.has(EXTENSION) ? open.services.get(EXTENSION) : undefined,
      log,
    });
    const running: Running = { config, open, servers, telemetry, log, options };
    await (options.http ? overHttp(running, options.http, stop) : overStdio(running, stop));
    await Promise.all([...open.pools.values()].map((pool) => pool.close()));
  } finally {
    await telemetry.shutdown(LAST_EXPORT);
  }
}

interface Running {
  readonly config: ResolvedConfig;
  readonly open: OpenPools;
  readonly servers: McpServers;
  readonly telemetry: Telemetry;
  readonly log: Log;
  readonly options: ServeOptions;
}

/**
 * Reads the configuration anew when its file changes, or when asked to.
 * @param follow takes up sections that the host can change while it runs, and returns those it did.
 */
function reloading(
  { open, servers, log, options }: Running,
  follow: (config: ResolvedConfig, sections: readonly string[]) => readonly string[],
): Disposable & { readonly reloader: Reloader } {
  const reloader = new Reloader({
    source: options.source ?? {},
    open,
    log,
    clock: systemClock,
    applied(config, { added, removed, replaced, sections }) {
      const own = sections.filter((section) => section === "tools" || section === "security");
      if ([added, removed, replaced, own].some((names) => names.length > 0))
        servers.replace(toolsOf(config, open), new PoolResources(open));
      return [...own, ...follow(config, sections)];
    },
  });
  const watch = options.watch === true ? reloader.watch() : undefined;
  return { reloader, [Symbol.dispose]: () => watch?.[Symbol.dispose]() };
}

async function overStdio(running: Running, stop: AbortSignal): Promise<void> {
  const { config, open, servers, log } = running;
  using stack = new DisposableStack();
  stack.use(reloading(running, () => []));
  const transport = new StdioServerTransport(process.stdin, process.stdout, { maxBufferSize: LONGEST_MESSAGE });
  const ended = new Promise<void>((resolve) => {
    stop.addEventListener("abort", () => resolve(), { once: true });
    process.stdin.once("end", resolve).once("close", resolve);
    process.stdout.once("error", resolve);
  });
  const handle = serveStdio(() => servers.create({ transport: "pipe" }, true), {
    transport,
    onerror: (error) => log.warn(`The client's connection reported: ${error.message}`),
  });
  log.info(`Serving ${describePools(open)} over stdio.`, { config: config.file ?? "environment" });
  await ended;
  log.info("Closing: requests in flight end first.");
  await Promise.all([...open.pools.values()].map((pool) => pool.close()));
  // What the last requests gave is on its way to the client by the next turn of the event loop.
  await new Promise((resolve) => setImmediate(resolve));
  await handle.close();
}

async function overHttp(
  running: Running,
  { host, port, allowAnonymous = false }: HttpOptions,
  stop: AbortSignal,
): Promise<void> {
  const { config, open, servers, telemetry, log } = running;
  const { sections } = config;
  const settings = {
    ...httpSettings(sections.http as HttpSection | undefined),
    ...(host !== undefined && { host }),
    ...(port !== undefined && { port }),
  };
  const clock = systemClock;
  /** @throws ConfigError */
  const identify = (of: ResolvedConfig): Identity | undefined => {
    const found = identityOf(of);
    if (found) return { settings: found, authenticator: new Authenticator(found, { clock, log }) };
    if (allowAnonymous || isLoopbackHost(settings.host)) return undefined;
    throw new ConfigError(of.file, [
      {
        path: "identity",
        message: `is missing, and ${settings.host} can be reached from other machines: anybody could use your servers. Say who may, or give --allow-anonymous if the network keeps strangers out.`,
      },
    ]);
  };
  const identity = identify(config);
  const endpoint = new McpEndpoint({
    servers,
    sessions: sessionSettings(sections.sessions as SessionsSection | undefined),
    maxRequestSize: settings.maxRequestSize,
    clock,
    log,
  });
  const web = new HttpHost({
    settings,
    endpoint,
    identity,
    pools: open.pools,
    metricsHandler: telemetry.metricsAddress ? undefined : telemetry.metricsHandler,
    clock,
    log,
  });
  using reload = reloading(running, (changed, names) => {
    if (!names.includes("identity")) return [];
    web.identifyBy(identify(changed));
    return ["identity"];
  });
  const hangUp = () => void reload.reloader.reload("SIGHUP");
  const address = await web.listen();
  process.on("SIGHUP", hangUp);
  const shown = address.host.includes(":") ? `[${address.host}]` : address.host;
  log.info(`Serving ${describePools(open)} at http://${shown}:${address.port}${ENDPOINT}.`, {
    config: config.file ?? "environment",
    identity: identity ? "required" : "nobody is asked",
  });
  if (!stop.aborted) await new Promise((resolve) => stop.addEventListener("abort", resolve, { once: true }));
  process.off("SIGHUP", hangUp);
  log.info("Closing: requests in flight end first.");
  await web.close();
}

function describePools(open: OpenPools): string {
  return [...open.pools.values()]
    .map((pool) => {
      const ids = pool.list().map((server) => server.serverId);
      return `pool "${pool.name}" (${ids.length === 0 ? "no servers yet" : ids.join(", ")})`;
    })
    .join(" and ");
}
