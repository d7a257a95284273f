import type { Attempt } from "@davpool/core";
import type { Dispatcher } from "undici";
import { explain, ofConnection } from "./failures.ts";
import { isSafe } from "./methods.ts";
import { ResponseBody } from "./response-body.ts";
import { Resumption } from "./resume.ts";
import type { WebDavResponse } from "./wire.ts";

type Headers = WebDavResponse["headers"];

/** What the exchange does with a redirect: the request that follows it, or undefined to hand the redirect over. */
export type FollowRedirect = (location: string) => (() => Promise<WebDavResponse>) | undefined;

/** A request as undici takes it. Its types know neither iterables as bodies nor the methods of WebDAV. */
export interface SentRequest {
  readonly method: string;
  readonly path: string;
  /** Names and values in turn. */
  readonly headers: string[];
  readonly body: string | Uint8Array | AsyncIterable<Uint8Array> | undefined;
  readonly reset: boolean | null;
}

/**
 * One request on one socket, as undici reports it. Uses `dispatch`, which tells when a request begins on a connected
 * socket: only then may it have been sent.
 */
export class Exchange implements Dispatcher.DispatchHandler {
  readonly #response: Promise<WebDavResponse>;
  readonly #dispatcher: Dispatcher;
  readonly #request: SentRequest;
  readonly #attempt: Attempt;
  readonly #authorized: boolean;
  readonly #follow: FollowRedirect | undefined;
  #resolve!: (response: WebDavResponse | Promise<WebDavResponse>) => void;
  #reject!: (error: unknown) => void;
  #controller: Dispatcher.DispatchController | undefined;
  #answer: WebDavResponse | undefined;

  /** @param authorized the request carries credentials. */
  constructor(
    dispatcher: Dispatcher,
    request: SentRequest,
    attempt: Attempt,
    authorized: boolean,
    follow: FollowRedirect | undefined,
  ) {
    this.#dispatcher = dispatcher;
    this.#request = request;
    this.#attempt = attempt;
    this.#authorized = authorized;
    this.#follow = follow;
    this.#response = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    attempt.signal.addEventListener("abort", this.#abort, { once: true });
  }

  send(): Promise<WebDavResponse> {
    this.#dispatcher.dispatch(this.#request as Dispatcher.DispatchOptions, this);
    return this.#response;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    // Thrown, it ends the request alone; aborting the controller would take the fresh socket along.
    this.#attempt.signal.throwIfAborted();
    this.#controller = controller;
    this.#attempt.sent();
  }

  onBodySent(chunk: Uint8Array): void {
    this.#attempt.progress(chunk.byteLength);
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: Headers): void {
    // 103 and its like announce an answer; 100 is undici's own affair.
    if (status < 200) return;
    // Where there is no body, the header speaks of the one that a GET would get.
    const bodiless = this.#request.method === "HEAD" || status === 204 || status === 304;
    const length = bodiless ? 0 : Number(headers["content-length"] ?? NaN);
    const body = new ResponseBody(
      controller,
      this.#attempt,
      Number.isNaN(length) ? undefined : length,
      !isSafe(this.#request.method),
    );
    this.#answer = { status, headers, body, ...(this.#authorized && { authorized: true }) };
    const next = status >= 300 && status < 400 ? this.#redirect(status, headers) : undefined;
    if (next) {
      body.discard();
      this.#resolve(next());
    } else this.#resolve(this.#answer);
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Uint8Array): void {
    this.#answer?.body.push(chunk);
  }

  onResponseEnd(): void {
    this.#done();
    this.#answer?.body.end();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#done();
    if (error !== this.#attempt.signal.reason) ofConnection(error);
    const answer = this.#answer;
    if (!answer) {
      this.#reject(error);
      return;
    }
    const failure = explain(error);
    const resumption = new Resumption(this.#dispatcher, this.#request, this.#attempt, answer, error);
    if (!resumption.begin(failure)) answer.body.fail(error, failure);
  }

  readonly #abort = (): void => {
    const reason = this.#attempt.signal.reason as Error;
    // Before the request has a socket there is nothing to abort; it is stopped when it gets one.
    if (this.#controller) this.#controller.abort(reason);
    else this.#reject(reason);
  };

  #redirect(status: number, headers: Headers): (() => Promise<WebDavResponse>) | undefined {
    const { location } = headers;
    if (status === 300 || status === 304 || typeof location !== "string") return undefined;
    return this.#follow?.(location);
  }

  #done(): void {
    this.#attempt.signal.removeEventListener("abort", this.#abort);
  }
}
