import { once } from "node:events";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { decodeOtlp, type Message } from "./otlp-decoder.test-support.ts";

export interface Collector extends AsyncDisposable {
  readonly url: string;
  /** What has come, in this order. */
  readonly requests: readonly { readonly path: string; readonly headers: IncomingHttpHeaders; readonly body: Buffer }[];
  spans(): Message[];
  logs(): Message[];
  metrics(): Message[];
  /** Answers with this status from now on; `never` does not answer at all. */
  answer(status: number | "never"): void;
  /** Resolves when this many requests have come. */
  received(count: number): Promise<void>;
}

/** A collector of OTLP over HTTP on a loopback socket. */
export async function startCollector(): Promise<Collector> {
  const requests: { path: string; headers: IncomingHttpHeaders; body: Buffer }[] = [];
  const waiting = new Set<() => void>();
  let status: number | "never" = 200;
  const server = createServer((request, response) => {
    void buffer(request).then((body) => {
      requests.push({ path: request.url ?? "", headers: request.headers, body });
      for (const look of waiting) look();
      if (status !== "never") response.writeHead(status).end();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const all = (path: string) =>
    requests.filter((request) => request.path === path).flatMap(({ body }) => decodeOtlp(path, body));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    spans: () => all("/v1/traces"),
    logs: () => all("/v1/logs"),
    metrics: () => all("/v1/metrics"),
    answer: (next) => {
      status = next;
    },
    received: (count) =>
      new Promise((resolve) => {
        const look = () => {
          if (requests.length < count) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
