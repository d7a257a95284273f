import { once } from "node:events";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";

export interface Delivery {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  // oxlint-disable-next-line typescript/no-explicit-any -- tests look into bodies of every shape
  readonly body: any;
}

/** What a receiver does with a delivery: the status that it answers, no answer at all, or a broken connection. */
export type Reaction = number | "silence" | "reset" | { readonly status: number; readonly retryAfter: string };

export interface HookReceiver extends AsyncDisposable {
  readonly url: string;
  readonly deliveries: readonly Delivery[];
  /** What comes of the next deliveries, one each; those after it get 204. */
  react(...reactions: Reaction[]): void;
  /** What comes of each delivery that nothing else was said about. */
  otherwise: Reaction;
  /** Resolves when so many deliveries have arrived since the start. */
  received(count: number): Promise<readonly Delivery[]>;
}

/** A receiver of webhooks on a real socket. */
export async function startReceiver(): Promise<HookReceiver> {
  const deliveries: Delivery[] = [];
  const reactions: Reaction[] = [];
  const expecting = new Set<() => void>();
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => void chunks.push(chunk));
    request.on("end", () => {
      const text = Buffer.concat(chunks).toString("utf8");
      const { url: path = "", headers } = request;
      deliveries.push({ path, headers, text, body: JSON.parse(text) as unknown });
      const reaction = reactions.shift() ?? receiver.otherwise;
      if (reaction === "reset") request.socket.resetAndDestroy();
      else if (typeof reaction === "number") response.writeHead(reaction).end();
      else if (reaction !== "silence")
        response.writeHead(reaction.status, { "retry-after": reaction.retryAfter }).end();
      for (const look of expecting) look();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const receiver: HookReceiver = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hooks/s3cret-path`,
    deliveries,
    otherwise: 204,
    react: (...more) => void reactions.push(...more),
    received: (count) =>
      new Promise((resolve) => {
        const look = () => {
          if (deliveries.length < count) return;
          expecting.delete(look);
          resolve(deliveries);
        };
        expecting.add(look);
        look();
      }),
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
  return receiver;
}
