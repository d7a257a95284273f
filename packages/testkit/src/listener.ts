import { createServer } from "node:http";
import type { RequestListener, Server } from "node:http";
import type { Socket } from "node:net";
import { reservePort } from "./port-reservation.ts";
import { Changes } from "./waiting.ts";

const HOST = "127.0.0.1";

/** A loopback HTTP listener that can close and listen again on the same port, and knows its connections. */
export class Listener {
  readonly #server: Server;
  /** Open sockets with their ordinal numbers. */
  readonly #sockets = new Map<Socket, number>();
  readonly #changes = new Changes();
  #port: number;
  #accepted = 0;
  #running = false;
  #refusals = 0;
  #releasePort: (() => void) | undefined;
  #last: Promise<void> = Promise.resolve();

  constructor(options: { readonly port: number; readonly keepAliveTimeout: number; readonly handle: RequestListener }) {
    this.#port = options.port;
    // No time-out of its own: what a test sees is what it asked for.
    this.#server = createServer({ requestTimeout: 0, headersTimeout: 0, keepAliveTimeout: options.keepAliveTimeout });
    this.#server.on("request", options.handle);
    this.#server.on("connection", (socket: Socket) => this.#accept(socket));
  }

  get port(): number {
    return this.#port;
  }

  get connections(): number {
    return this.#sockets.size;
  }

  /** Connections accepted since the listener was made. */
  get accepted(): number {
    return this.#accepted;
  }

  numberOf(socket: Socket): number {
    return this.#sockets.get(socket) ?? 0;
  }

  /** Resolves as soon as the number of open connections satisfies `condition`. */
  async connectionsWhere(condition: (count: number) => boolean): Promise<void> {
    await this.#changes.until(() => (condition(this.#sockets.size) ? true : undefined));
  }

  /** Listens. Rejects with node's error when the port is taken. */
  start(): Promise<void> {
    this.#running = true;
    return this.#settle();
  }

  /** Stops listening and destroys all connections. */
  stop(): Promise<void> {
    this.#running = false;
    return this.#settle();
  }

  /** Stops for good and gives the port up. */
  async dispose(): Promise<void> {
    await this.stop();
    this.#releasePort?.();
  }

  /** Closed until the returned function is called; several refusals add up, and `stop` outlasts them. */
  async refuse(): Promise<() => Promise<void>> {
    this.#refusals += 1;
    await this.#settle();
    return () => {
      this.#refusals -= 1;
      return this.#settle();
    };
  }

  /** Brings the listener into the state that is wanted when its turn comes; one change at a time. */
  #settle(): Promise<void> {
    const change = async (): Promise<void> => {
      const wanted = this.#running && this.#refusals === 0;
      if (wanted && !this.#server.listening) await this.#listen();
      if (!wanted && this.#server.listening) await this.#close();
    };
    const done = this.#last.then(change);
    // A failure is the caller's; the next change must not inherit it.
    this.#last = done.catch(() => {});
    return done;
  }

  #listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen({ port: this.#port, host: HOST }, () => {
        this.#server.off("error", reject);
        const address = this.#server.address();
        if (typeof address === "object" && address !== null) this.#port = address.port;
        this.#releasePort?.();
        this.#releasePort = undefined;
        resolve();
      });
    });
  }

  async #close(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
    for (const socket of this.#sockets.keys()) socket.destroy();
    this.#releasePort = await reservePort(HOST, this.#port);
    await closed;
  }

  #accept(socket: Socket): void {
    this.#accepted += 1;
    this.#sockets.set(socket, this.#accepted);
    socket.once("close", () => {
      this.#sockets.delete(socket);
      this.#changes.notify();
    });
    this.#changes.notify();
  }
}
