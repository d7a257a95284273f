import { openPools, type Log, type OpenPools, type Pool, type ResolvedConfig } from "@davpool/core";
import type { WebDavWire } from "@davpool/transport-webdav";
import { StdioServerTransport, serveStdio } from "@modelcontextprotocol/server/stdio";
import { serverFactory } from "./mcp-server.ts";
import { toolSettings } from "./sections.ts";
import { webDavTools } from "./tools/index.ts";
import type { Tool } from "./tools/tool.ts";

/** The longest message a client may send: a file of about 48 MiB as base64. */
const LONGEST_MESSAGE = 64 * 1024 * 1024;

/** The tools of every pool in a configuration. */
export function toolsOf(config: ResolvedConfig, open: OpenPools): readonly Tool[] {
  const webDav = config.pools
    .filter((pool) => pool.transport.plugin.name === "webdav")
    .map((pool) => open.pools.get(pool.name) as Pool<WebDavWire>);
  return webDavTools(webDav, {
    management: config.security.managementTools,
    maxBodySize: toolSettings(config.sections.tools).maxBodySize,
  });
}

/**
 * Serves the pools of a configuration over standard input and output, until the client closes its end or `stop`
 * aborts; then lets what is in flight end, and closes.
 */
export async function serve(config: ResolvedConfig, log: Log, stop: AbortSignal): Promise<void> {
  await using open = await openPools(config, { log, signal: stop });
  const transport = new StdioServerTransport(process.stdin, process.stdout, { maxBufferSize: LONGEST_MESSAGE });
  const ended = new Promise<void>((resolve) => {
    stop.addEventListener("abort", () => resolve(), { once: true });
    process.stdin.once("end", resolve).once("close", resolve);
    process.stdout.once("error", resolve);
  });
  const handle = serveStdio(serverFactory(toolsOf(config, open), log), {
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

function describePools(open: OpenPools): string {
  return [...open.pools.values()]
    .map((pool) => {
      const ids = pool.list().map((server) => server.serverId);
      return `pool "${pool.name}" (${ids.length === 0 ? "no servers yet" : ids.join(", ")})`;
    })
    .join(" and ");
}
