import { openPools, systemClock, type Log, type ResolvedConfig } from "@davpool/core";
import { MCP_HOST } from "@davpool/transport-mcp";
import type { ConfigurationSource } from "./configuration.ts";
import { EXTENSION, joined } from "./extension.ts";
import { Clients } from "./gateway/clients.ts";
import { McpServers } from "./mcp-server.ts";
import { contentsOf, type Running } from "./running.ts";
import { telemetrySettings } from "./telemetry/settings.ts";
import type { TelemetrySection } from "./telemetry/section.ts";
import { startTelemetry } from "./telemetry/start-telemetry.ts";

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
  // What the other way of serving needs is not loaded: clients start davpool anew, and wait for it.
  const web = options.http && (await import("./http/serve-http.ts"));
  // Before servers are asked and processes started.
  if (web && options.http) web.requireIdentity(config, options.http);
  // Metrics that are made before it are recorded nowhere.
  const telemetry = await startTelemetry(
    telemetrySettings(config.sections.telemetry as TelemetrySection | undefined, process.env),
    { log, baseDirectory: config.baseDirectory, signal: stop },
  );
  try {
    const clients = new Clients(log);
    await using open = await openPools(config, {
      log,
      signal: stop,
      provide: (services) => services.provide(MCP_HOST, clients),
    });
    using servers = new McpServers({
      ...contentsOf(config, open),
      clients,
      clock: systemClock,
      extension: joined(open.services.all(EXTENSION)),
      log,
    });
    const running: Running = { config, open, servers, telemetry, log, options };
    if (web && options.http) await web.overHttp(running, options.http, stop);
    else await (await import("./stdio.ts")).overStdio(running, stop);
    await Promise.all([...open.pools.values()].map((pool) => pool.close()));
  } finally {
    await telemetry.shutdown(LAST_EXPORT);
  }
}
