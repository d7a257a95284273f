import { LastingClient } from "./lasting-client.ts";
import type { Hosting } from "./mcp-server.ts";
import { PipeTransport } from "./pipe-transport.ts";
import { serveStdio } from "@modelcontextprotocol/server/stdio";
import { describePools, reloading, type Running } from "./running.ts";

/** The longest message a client may send: a file of about 48 MiB as base64. */
const LONGEST_MESSAGE = 64 * 1024 * 1024;

/** Serves one client over standard input and output, until it closes its end or `stop` aborts. */
export async function overStdio(running: Running, stop: AbortSignal): Promise<void> {
  const { config, open, servers, log } = running;
  using _ = reloading(running, () => []);
  const transport = new PipeTransport(process.stdin, process.stdout, LONGEST_MESSAGE);
  const shortcuts = servers.shorten(transport);
  const hosting: Hosting = { transport: "pipe", handedOver: ({ mcpReq }) => shortcuts.unfinished(mcpReq.id) };
  const ended = new Promise<void>((resolve) => {
    stop.addEventListener("abort", () => resolve(), { once: true });
    process.stdin.once("end", resolve).once("close", resolve);
    process.stdout.once("error", resolve);
  });
  const client = new LastingClient();
  const handle = serveStdio(() => servers.create(hosting, client), {
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
