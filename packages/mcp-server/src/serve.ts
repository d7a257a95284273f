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
import { identityOf } from "./configuration.ts";
import { EXTENSION } from "./extension.ts";
import { McpEndpoint } from "./http/endpoint.ts";
import { isLoopbackHost } from "./http/guard.ts";
import { ENDPOINT, HttpHost } from "./http/http-host.ts";
import { httpSettings, type HttpSection } from "./http/section.ts";
import { Authenticator } from "./identity/index.ts";
import { McpServers } from "./mcp-server.ts";
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
    const running: Running = { config, open, servers, telemetry, log };
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
}

async function overStdio({ config, open, servers, log }: Running, stop: AbortSignal): Promise<void> {
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
  { config, open, servers, telemetry, log }: Running,
  { host, port, allowAnonymous = false }: HttpOptions,
  stop: AbortSignal,
): Promise<void> {
  const { sections } = config;
  const settings = {
    ...httpSettings(sections.http as HttpSection | undefined),
    ...(host !== undefined && { host }),
    ...(port !== undefined && { port }),
  };
  const clock = systemClock;
  const identity = identityOf(config);
  if (!identity && !allowAnonymous && !isLoopbackHost(settings.host))
    throw new ConfigError(config.file, [
      {
        path: "identity",
        message: `is missing, and ${settings.host} can be reached from other machines: anybody could use your servers. Say who may, or give --allow-anonymous if the network keeps strangers out.`,
      },
    ]);
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
    identity: identity && { settings: identity, authenticator: new Authenticator(identity, { clock, log }) },
    pools: open.pools,
    metricsHandler: telemetry.metricsAddress ? undefined : telemetry.metricsHandler,
    clock,
    log,
  });
  const address = await web.listen();
  const shown = address.host.includes(":") ? `[${address.host}]` : address.host;
  log.info(`Serving ${describePools(open)} at http://${shown}:${address.port}${ENDPOINT}.`, {
    config: config.file ?? "environment",
    identity: identity ? "required" : "nobody is asked",
  });
  if (!stop.aborted) await new Promise((resolve) => stop.addEventListener("abort", resolve, { once: true }));
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
