import type { IncomingMessage, ServerResponse } from "node:http";
import type { Answer } from "./answer.ts";
import type { Clock } from "./clock.ts";
import type { FaultKind } from "./faults/fault.ts";
import type { KeepAlive } from "./keep-alive.ts";
import type { LoggedRequest, Progress } from "./request-log.ts";
import { resetSocket } from "./reset-socket.ts";
import { ClientGone, sendWhole } from "./sending.ts";
import type { Sender } from "./sending.ts";

/** One request and its answer under way: what a fault has to act upon. */
export class Exchange {
  readonly logged: LoggedRequest;
  readonly connection: KeepAlive;
  /** How the answer is sent. Faults replace it; the last one to do so decides. */
  send: Sender = sendWhole;

  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #note: (progress: Progress) => void;
  readonly #clock: Clock;
  readonly #process: (body: Uint8Array) => Answer;
  readonly #chunks: Uint8Array[] = [];
  #answer: Promise<Answer> | undefined;
  #instead: Answer | undefined;

  constructor(parts: {
    readonly request: IncomingMessage;
    readonly response: ServerResponse;
    /** The connection that brought the request, which it knows of already. */
    readonly connection: KeepAlive;
    readonly logged: LoggedRequest;
    /** Completes the log entry. */
    readonly note: (progress: Progress) => void;
    readonly clock: Clock;
    /** Applies the request to the site. */
    readonly process: (body: Uint8Array) => Answer;
  }) {
    this.logged = parts.logged;
    this.connection = parts.connection;
    this.#request = parts.request;
    this.#response = parts.response;
    this.#note = parts.note;
    this.#clock = parts.clock;
    this.#process = parts.process;
  }

  /**
   * Reads the request's body to its end, or until it has `enough` bytes, and leaves the rest unread. Rejects with
   * {@link ClientGone} when the client breaks off.
   */
  readBody(enough = Infinity): Promise<void> {
    const request = this.#request;
    if (request.readableEnded || this.logged.bodyBytes >= enough) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const settle = (done: () => void): void => {
        request.off("data", take).off("end", ended).off("error", gone).off("close", gone);
        done();
      };
      const take = (chunk: Uint8Array): void => {
        this.#chunks.push(chunk);
        this.#note({ bodyBytes: this.logged.bodyBytes + chunk.length });
        if (this.logged.bodyBytes < enough) return;
        request.pause();
        settle(resolve);
      };
      const ended = (): void => settle(resolve);
      const gone = (): void => settle(() => reject(new ClientGone("the request's body broke off")));
      request.on("data", take).on("end", ended).on("error", gone).on("close", gone).resume();
    });
  }

  /** Reads the request, lets it take effect (once, however often this is called) and says what to answer. */
  apply(): Promise<Answer> {
    this.#answer ??= this.readBody().then(() => this.#process(Buffer.concat(this.#chunks)));
    return this.#answer;
  }

  /** Has this sent instead. A request that has not taken effect yet will not. */
  answerInstead(answer: Answer): void {
    this.#instead = answer;
  }

  /** Sends the answer by way of {@link Exchange.send}. */
  async answer(): Promise<void> {
    await this.readBody();
    const answer = this.#instead ?? (await this.apply());
    this.#note({ status: answer.status });
    await this.send(answer, this.#response);
  }

  /** Waits `ms` milliseconds or until `off` is aborted. Rejects with {@link ClientGone} when the client leaves. */
  pause(ms: number, off: AbortSignal): Promise<void> {
    if (off.aborted) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const response = this.#response;
      const settle = (done: () => void): void => {
        timer?.[Symbol.dispose]();
        off.removeEventListener("abort", over);
        response.off("close", gone);
        done();
      };
      const over = (): void => settle(resolve);
      const gone = (): void => settle(() => reject(new ClientGone("the client left during a pause")));
      const timer = Number.isFinite(ms) ? this.#clock.after(ms, over) : undefined;
      off.addEventListener("abort", over);
      response.once("close", gone);
      if (response.destroyed) gone();
    });
  }

  /** Has the log say that a fault met this request. */
  noteFault(kind: FaultKind): void {
    this.#note({ faults: [...this.logged.faults, kind] });
  }

  /** Resets the connection: the client sees ECONNRESET. */
  reset(): void {
    resetSocket(this.#request.socket);
  }

  /** Closes the connection after what has been written. */
  destroy(): void {
    this.#request.socket.destroySoon();
  }
}
