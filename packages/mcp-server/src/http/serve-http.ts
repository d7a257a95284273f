import { ConfigError, systemClock, type ResolvedConfig } from "@davpool/core";
import { identityOf } from "../configuration.ts";
import { Authenticator, type IdentitySettings } from "../identity/index.ts";
import { describePools, reloading, type Running } from "../running.ts";
import type { HttpOptions } from "../serve.ts";
import { sessionSettings, type SessionsSection } from "../sessions/section.ts";
import { McpEndpoint } from "./endpoint.ts";
import { isLoopbackHost } from "./guard.ts";
import { ENDPOINT, HttpHost, type Identity } from "./http-host.ts";
import { httpSettings, type HttpSection, type HttpSettings } from "./section.ts";

/** As the configuration says, where the command line says nothing else. */
function settingsOf({ sections }: ResolvedConfig, { host, port }: HttpOptions): HttpSettings {
  return {
    ...httpSettings(sections.http as HttpSection | undefined),
    ...(host !== undefined && { host }),
    ...(port !== undefined && { port }),
  };
}

/**
 * How callers are known; undefined for nobody in particular.
 * @throws ConfigError where strangers could come in, and nobody has said that they may.
 */
export function requireIdentity(config: ResolvedConfig, options: HttpOptions): IdentitySettings | undefined {
  const settings = settingsOf(config, options);
  const found = identityOf(config);
  if (found || options.allowAnonymous === true) return found;
  const reach = reachOf(settings);
  if (reach === undefined) return undefined;
  throw new ConfigError(config.file, [
    {
      path: "identity",
      message: `is missing, and ${reach}: anybody could use your servers. Say who may, or give --allow-anonymous if the network keeps strangers out.`,
    },
  ]);
}

/** Why others than this machine's users can come in; undefined where they cannot. */
function reachOf({ host, publicUrl, trustProxy }: HttpSettings): string | undefined {
  if (!isLoopbackHost(host)) return `${host} can be reached from other machines`;
  if (publicUrl !== undefined) return "http.publicUrl says that others reach this server";
  return trustProxy ? "http.trustProxy says that a proxy brings others here" : undefined;
}

/** Serves many clients over HTTP, until `stop` aborts. */
export async function overHttp(running: Running, options: HttpOptions, stop: AbortSignal): Promise<void> {
  const { config, open, servers, telemetry, log } = running;
  const settings = settingsOf(config, options);
  const clock = systemClock;
  const identify = (of: ResolvedConfig): Identity | undefined => {
    const found = requireIdentity(of, options);
    return found && { settings: found, authenticator: new Authenticator(found, { clock, log }) };
  };
  const identity = identify(config);
  const accepts = (changed: ResolvedConfig) => {
    const found = requireIdentity(changed, options);
    if (!identity || found) return;
    throw new ConfigError(changed.file, [
      {
        path: "identity",
        message: "is gone, and whoever has no token would come in. Restart davpool if that is meant.",
      },
    ]);
  };
  const endpoint = new McpEndpoint({
    servers,
    sessions: sessionSettings(config.sections.sessions as SessionsSection | undefined),
    maxRequestSize: settings.maxRequestSize,
    requestMemory: settings.requestMemory,
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
  using reload = reloading(
    running,
    (changed, names) => {
      if (!names.includes("identity")) return [];
      web.identifyBy(identify(changed));
      return ["identity"];
    },
    accepts,
  );
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
