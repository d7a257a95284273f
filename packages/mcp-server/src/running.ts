import { systemClock, type Log, type OpenPools, type Pool, type ResolvedConfig } from "@davpool/core";
import type { McpWire } from "@davpool/transport-mcp";
import type { WebDavWire } from "@davpool/transport-webdav";
import type { GatewaySection } from "./gateway/section.ts";
import type { McpContents, McpServers } from "./mcp-server.ts";
import { Reloader } from "./reload/index.ts";
import { PoolResources } from "./resources.ts";
import { toolSettings } from "./sections.ts";
import type { ServeOptions } from "./serve.ts";
import type { Telemetry } from "./telemetry/start-telemetry.ts";
import { HeaderRules } from "./tools/header-rules.ts";
import { webDavTools } from "./tools/index.ts";
import type { Tool } from "./tools/tool.ts";

/** Sections that can change while clients are connected. */
const OWN_SECTIONS: ReadonlySet<string> = new Set(["tools", "security", "gateway"]);

/** What a host is given: everything that runs, whatever it is served over. */
export interface Running {
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
 * @param accepts throws for a configuration that the host cannot go over to.
 */
export function reloading(
  { open, servers, log, options }: Running,
  follow: (config: ResolvedConfig, sections: readonly string[]) => readonly string[],
  accepts?: (config: ResolvedConfig) => void,
): Disposable & { readonly reloader: Reloader } {
  const reloader = new Reloader({
    source: options.source ?? {},
    open,
    log,
    clock: systemClock,
    ...(accepts && { accepts }),
    applied(config, { added, removed, replaced, sections }) {
      const own = sections.filter((section) => OWN_SECTIONS.has(section));
      if ([added, removed, replaced, own].some((names) => names.length > 0)) servers.replace(contentsOf(config, open));
      return [...own, ...follow(config, sections)];
    },
  });
  const watch = options.watch === true ? reloader.watch() : undefined;
  return { reloader, [Symbol.dispose]: () => watch?.[Symbol.dispose]() };
}

/** Everything that clients are offered, by a configuration. */
export function contentsOf(config: ResolvedConfig, open: OpenPools): McpContents {
  const pools = config.pools.flatMap(({ name, transport, deadline }) =>
    transport.plugin.name === "mcp" ? { pool: open.pools.get(name) as Pool<McpWire>, deadline } : [],
  );
  return {
    tools: toolsOf(config, open),
    resources: new PoolResources(open),
    gateway: {
      pools,
      others: pools.length < config.pools.length,
      section: config.sections.gateway as GatewaySection | undefined,
    },
  };
}

/** The tools of every WebDAV pool in a configuration. */
export function toolsOf(config: ResolvedConfig, open: OpenPools): readonly Tool[] {
  const webDav = config.pools
    .filter((settings) => settings.transport.plugin.name === "webdav")
    .map(({ name, deadline, aggregator }) => ({
      pool: open.pools.get(name) as Pool<WebDavWire>,
      deadline,
      aggregator,
    }));
  return webDavTools(webDav, {
    management: config.security.managementTools,
    headers: new HeaderRules(config.security),
    maxBodySize: toolSettings(config.sections.tools).maxBodySize,
  });
}

/** In one line, for the log. */
export function describePools(open: OpenPools): string {
  return [...open.pools.values()]
    .map((pool) => {
      const ids = pool.list().map((server) => server.serverId);
      return `pool "${pool.name}" (${ids.length === 0 ? "no servers yet" : ids.join(", ")})`;
    })
    .join(" and ");
}
