import { ConfigError, systemClock, type ResolvedConfig } from "@davpool/core";
import { identityOf } from "../configuration.ts";
import { Authenticator } from "../identity/index.ts";
import { describePools, reloading, type Running } from "../running.ts";
import type { HttpOptions } from "../serve.ts";
import { sessionSettings, type SessionsSection } from "../sessions/section.ts";
import { McpEndpoint } from "./endpoint.ts";
import { isLoopbackHost } from "./guard.ts";
import { ENDPOINT, HttpHost, type Identity } from "./http-host.ts";
import { httpSettings, type HttpSection } from "./section.ts";

/** Serves many clients over HTTP, until `stop` aborts. */
export async function overHttp(
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
