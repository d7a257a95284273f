import type { Attempt, Failure } from "@davpool/core";
import type { Dispatcher } from "undici";
import { explain, ofConnection } from "./failures.ts";
import type { SentRequest } from "./exchange.ts";
import type { WebDavResponse } from "./wire.ts";

type Headers = WebDavResponse["headers"];

/** Positions of bytes in a file, both included; those that a server did not tell are undefined. */
interface Span {
  readonly first: number;
  readonly last: number | undefined;
  readonly total: number | undefined;
}

/** Headers that choose a part or a version. The rest of a body is asked for with others. */
const CHOOSING = new Set([
  "range",
  "if-range",
  "if-match",
  "if-none-match",
  "if-modified-since",
  "if-unmodified-since",
]);
/** What must be the same for an answer to stand behind headers that have been handed over. */
const TELLING = ["content-length", "content-range", "content-type", "content-encoding", "etag", "last-modified"];

/**
 * Brings the rest of a streamed body that broke off, with further requests to the same server: the missing bytes of the
 * same version, which a strong entity tag names, or everything again as long as the reader has got nothing.
 *
 * The headers of the answer are in the caller's hands already, so whatever does not belong to them ends the body with
 * the error it broke off with.
 */
export class Resumption implements Dispatcher.DispatchHandler {
  readonly #dispatcher: Dispatcher;
  readonly #request: SentRequest;
  readonly #attempt: Attempt;
  readonly #response: WebDavResponse;
  /** The latest break of the body itself. */
  #error: Error;
  #controller: Dispatcher.DispatchController | undefined;
  /** What was asked for; undefined for everything again. */
  #missing: Span | undefined;
  /** Bytes of it still to come. An answer to everything again has the length that was announced at first. */
  #left = Infinity;
  /** This request's part of the body flows. */
  #flowing = false;
  /** Nothing more is wanted, or nothing more can be had. */
  #over = false;

  constructor(
    dispatcher: Dispatcher,
    request: SentRequest,
    attempt: Attempt,
    response: WebDavResponse,
    /** What broke the body off. */
    error: Error,
  ) {
    this.#dispatcher = dispatcher;
    this.#request = request;
    this.#attempt = attempt;
    this.#response = response;
    this.#error = error;
  }

  /** Asks for the rest. False when there is none to be had. */
  begin(failure: Failure): boolean {
    const { method, body } = this.#request;
    const { status, headers } = this.#response;
    if (!this.#attempt.streamed || method !== "GET" || body !== undefined) return false;
    // Ranges count the stored bytes, and which of several encodings was sent no entity tag may tell.
    if ((status !== 200 && status !== 206) || headers["content-encoding"] !== undefined) return false;
    return this.#ask(failure);
  }

  /** Gives up what is asked for, and the body with it. */
  abort(reason: Error): void {
    this.#over = true;
    this.#done();
    this.#controller?.abort(reason);
    this.#response.body.fail(reason, explain(reason));
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    // Thrown, it ends the request alone; aborting the controller would take the fresh socket along.
    if (this.#over) throw this.#error;
    this.#controller = controller;
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: Headers): void {
    if (status < 200) return;
    const length = this.#missing
      ? lengthOfRest(this.#missing, status, headers, this.#response)
      : isSame(status, headers, this.#response) && Infinity;
    if (length) {
      this.#left = length;
      this.#flowing = true;
      this.#response.body.resumed(controller);
    } else this.abort(this.#error);
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Uint8Array): void {
    this.#left -= chunk.byteLength;
    // Without a length of its own a part can be longer than its Content-Range.
    if (this.#left < 0) this.abort(this.#error);
    else this.#response.body.push(chunk);
  }

  onResponseEnd(): void {
    if (this.#over) return;
    // Nor does anything else tell that it is shorter.
    if (this.#missing && this.#left > 0) this.abort(this.#error);
    else {
      this.#done();
      this.#response.body.end();
    }
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.#over) return;
    this.#done();
    if (error !== this.#attempt.signal.reason) ofConnection(error);
    const failure = explain(error);
    if (this.#flowing) this.#error = error;
    if (this.#ask(failure)) return;
    // Why it was stopped says more than what it was about to mend.
    this.abort(this.#attempt.signal.aborted ? error : this.#error);
  }

  #ask(failure: Failure): boolean {
    const attempt = this.#attempt;
    const { body } = this.#response;
    const isBreak = failure.kind === "broken" && failure.blame !== "connection" && failure.blame !== "request";
    if (!isBreak || attempt.signal.aborted || body.discarded) return false;
    const tag = strongTag(this.#response.headers);
    const missing = tag !== undefined && body.received > 0 ? missingOf(this.#response) : undefined;
    if (!missing && body.delivered > 0) return false;
    if (!attempt.resume(failure)) return false;

    this.#missing = missing;
    this.#controller = undefined;
    this.#flowing = false;
    body.brokeOff(this, missing === undefined);
    attempt.signal.addEventListener("abort", this.#stop, { once: true });
    const { headers } = this.#request;
    const options = { ...this.#request, headers: missing && tag ? choosing(headers, missing, tag) : headers };
    this.#dispatcher.dispatch(options as Dispatcher.DispatchOptions, this);
    return true;
  }

  readonly #stop = (): void => {
    const reason = this.#attempt.signal.reason as Error;
    if (this.#controller) this.#controller.abort(reason);
    else this.abort(reason);
  };

  #done(): void {
    this.#attempt.signal.removeEventListener("abort", this.#stop);
  }
}

/** What an answer has not brought of the bytes that it announced. */
function missingOf({ status, headers, body }: WebDavResponse): Span | undefined {
  const { length, received } = body;
  const last = length === undefined ? undefined : length - 1;
  const whole = status === 206 ? contentRange(headers) : { first: 0, last, total: length };
  if (!whole) return undefined;
  const first = whole.first + received;
  return whole.last !== undefined && first > whole.last ? undefined : { ...whole, first };
}

/** Bytes of an answer that brings exactly the missing ones, of the same version. Undefined for any other. */
function lengthOfRest(missing: Span, status: number, headers: Headers, old: WebDavResponse): number | undefined {
  const part = status === 206 && headers["content-encoding"] === undefined ? contentRange(headers) : undefined;
  if (!part || headers["etag"] !== old.headers["etag"] || part.first !== missing.first) return undefined;
  const { total = part.total } = missing;
  if (total !== (part.total ?? total) || part.last !== (missing.last ?? (total ?? NaN) - 1)) return undefined;
  return part.last - part.first + 1;
}

function isSame(status: number, headers: Headers, old: WebDavResponse): boolean {
  return status === old.status && TELLING.every((name) => String(headers[name]) === String(old.headers[name]));
}

function choosing(headers: readonly string[], { first, last }: Span, tag: string): string[] {
  const list: string[] = [];
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at] as string;
    if (!CHOOSING.has(name.toLowerCase())) list.push(name, headers[at + 1] as string);
  }
  // Either is enough where both are understood; some servers ignore the one or the other.
  return [...list, "range", `bytes=${first}-${last ?? ""}`, "if-match", tag, "if-range", tag];
}

function strongTag({ etag }: Headers): string | undefined {
  return typeof etag === "string" && /^"[^"]*"$/.test(etag) ? etag : undefined;
}

function contentRange(headers: Headers): (Span & { readonly last: number }) | undefined {
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(?:(\d{1,15})|\*)$/.exec(String(headers["content-range"]));
  if (!match) return undefined;
  const [first, last, total] = match.slice(1).map(Number) as [number, number, number];
  return last < first ? undefined : { first, last, total: Number.isNaN(total) ? undefined : total };
}
