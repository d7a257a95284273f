import type { Server, Socket } from "node:net";
import { openDeafListener } from "./deaf-listener.ts";
import { reservePort } from "./port-reservation.ts";
import { Changes } from "./waiting.ts";

const HOST = "127.0.0.1";

type State = "open" | "closed" | "deaf";

/** What can be imposed on a listener: the kinds of the faults that concern it as a whole. */
export type Imposition = "refuse" | "connect-timeout";

/** A loopback listener that can close and listen again on the same port, and knows its connections. */
export class Listener {
  readonly #server: Server;
  /** Open sockets with their ordinal numbers. */
  readonly #sockets = new Map<Socket, number>();
  readonly #changes = new Changes();
  #port: number;
  #accepted = 0;
  #running = false;
  readonly #imposed: Record<Imposition, number> = { refuse: 0, "connect-timeout": 0 };
  #state: State = "closed";
  #releasePort: (() => Promise<void>) | undefined;
  #endDeafness: (() => Promise<void>) | undefined;
  #last: Promise<void> = Promise.resolve();

  /** `server` is not listening yet; its connections are this listener's from now on. */
  constructor(options: { readonly port: number; readonly server: Server }) {
    this.#port = options.port;
    this.#server = options.server;
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
    await this.#releasePort?.();
  }

  /**
   * Refuses connections, or leaves them without a reply, until the returned function is called; those that are open
   * are destroyed. Several impositions add up, refusal is the stronger one, and `stop` outlasts them.
   */
  async impose(imposition: Imposition): Promise<() => Promise<void>> {
    this.#imposed[imposition] += 1;
    const release = (): Promise<void> => {
      this.#imposed[imposition] -= 1;
      return this.#settle();
    };
    try {
      await this.#settle();
    } catch (error) {
      await release();
      throw error;
    }
    return release;
  }

  get #wanted(): State {
    if (!this.#running || this.#imposed.refuse > 0) return "closed";
    return this.#imposed["connect-timeout"] > 0 ? "deaf" : "open";
  }

  /** Brings the listener into the state that is wanted when its turn comes; one change at a time. */
  #settle(): Promise<void> {
    const done = this.#last.then(() => this.#change(this.#wanted));
    // A failure is the caller's; the next change must not inherit it.
    this.#last = done.catch(() => {});
    return done;
  }

  async #change(wanted: State): Promise<void> {
    if (wanted === this.#state) return;
    if (this.#state === "open") await this.#close();
    await this.#endDeafness?.();
    this.#endDeafness = undefined;
    this.#state = "closed";
    if (wanted === "open") await this.#listen();
    if (wanted === "deaf") this.#endDeafness = await openDeafListener(HOST, this.#port);
    this.#state = wanted;
  }

  async #listen(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen({ port: this.#port, host: HOST }, () => {
        this.#server.off("error", reject);
        const address = this.#server.address();
        if (typeof address === "object" && address !== null) this.#port = address.port;
        resolve();
      });
    });
    await this.#releasePort?.();
    this.#releasePort = undefined;
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
