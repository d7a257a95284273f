import { once } from "node:events";
import { createServer } from "node:http";
import { isIP, type AddressInfo } from "node:net";
import { describeError, type Log } from "@davpool/core";
import type { MetricsAddress } from "./settings.ts";
import type { MetricsHandler } from "./start-telemetry.ts";

export interface MetricsServer {
  /** With the port that it really has. */
  readonly address: MetricsAddress;
  close(): Promise<void>;
}

/**
 * Serves metrics and nothing else at `/metrics`. It does not keep the process alive.
 * @returns undefined when it cannot listen there, which the log is told; metrics are no reason not to serve.
 */
export async function serveMetrics(
  { host, port }: MetricsAddress,
  handler: MetricsHandler,
  log: Log,
): Promise<MetricsServer | undefined> {
  const local = isLoopback(host);
  const server = createServer({ requestTimeout: 10_000, headersTimeout: 5_000 }, (request, response) => {
    const refuse = (status: number) => response.writeHead(status).end();
    // A page that resolves its own name to this machine must not read along.
    if (local && !isLoopback(hostOf(request.headers.host))) refuse(403);
    else if (request.url?.split("?", 1)[0] !== "/metrics") refuse(404);
    else if (request.method === "GET") handler(request, response);
    else refuse(405);
  });
  server.unref();
  try {
    server.listen({ host, port });
    await once(server, "listening");
  } catch (error) {
    log.warn(
      `Metrics cannot be served at ${host}:${port}: ${describeError(error)}. Set telemetry.prometheus.port to a free port; everything else works without.`,
    );
    return undefined;
  }
  server.on("error", (error) => log.warn(`The server of metrics reported: ${error.message}`));
  const { port: taken } = server.address() as AddressInfo;
  log.info(`Metrics for Prometheus are at http://${isIP(host) === 6 ? `[${host}]` : host}:${taken}/metrics.`);
  return {
    address: { host, port: taken },
    close: async () => {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

/** The name in a Host header, without the port. */
function hostOf(header: string | undefined): string {
  return (header ?? "").replace(/:\d*$/, "").replace(/^\[(.*)\]$/, "$1");
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d+){3}$/.test(host);
}
