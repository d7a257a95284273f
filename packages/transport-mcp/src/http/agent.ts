import type { LookupFunction } from "node:net";
import { Agent, type Dispatcher } from "undici";
import type { Exchange } from "../channel.ts";

/** Milliseconds an idle socket is kept: less than most servers keep theirs. */
const KEEP_ALIVE = 4_000;

/** What a request may carry on its way to the socket. */
export interface Announced {
  readonly exchange?: Exchange | undefined;
}

/**
 * The sockets to one server. Answers may take as long as they like: attempts are timed by the engine, and the streams of
 * a session stay open for as long as it lasts.
 */
export function httpAgent(connectTimeout: number, lookup: LookupFunction | undefined): Dispatcher {
  const agent = new Agent({
    headersTimeout: 0,
    bodyTimeout: 0,
    keepAliveTimeout: KEEP_ALIVE,
    keepAliveMaxTimeout: KEEP_ALIVE,
    allowH2: false,
    connect: { timeout: connectTimeout, ...(lookup && { lookup }) },
  });
  return agent.compose((dispatch) => (options, handler) => {
    const { exchange } = options as Announced;
    return dispatch(options, exchange ? new Announcing(handler, exchange) : handler);
  });
}

/** Tells that a request is about to leave: its connection stands, and no byte of it was written. */
class Announcing implements Dispatcher.DispatchHandler {
  readonly #handler: Dispatcher.DispatchHandler;
  readonly #exchange: Exchange;

  constructor(handler: Dispatcher.DispatchHandler, exchange: Exchange) {
    this.#handler = handler;
    this.#exchange = exchange;
  }

  onRequestStart(...about: Parameters<NonNullable<Dispatcher.DispatchHandler["onRequestStart"]>>): void {
    this.#exchange.sent();
    this.#handler.onRequestStart?.(...about);
  }
  onRequestUpgrade(...about: Parameters<NonNullable<Dispatcher.DispatchHandler["onRequestUpgrade"]>>): void {
    this.#handler.onRequestUpgrade?.(...about);
  }
  onResponseStart(...about: Parameters<NonNullable<Dispatcher.DispatchHandler["onResponseStart"]>>): void {
    this.#handler.onResponseStart?.(...about);
  }
  onResponseData(...about: Parameters<NonNullable<Dispatcher.DispatchHandler["onResponseData"]>>): void {
    this.#handler.onResponseData?.(...about);
  }
  onResponseEnd(...about: Parameters<NonNullable<Dispatcher.DispatchHandler["onResponseEnd"]>>): void {
    this.#handler.onResponseEnd?.(...about);
  }
  onResponseError(...about: Parameters<NonNullable<Dispatcher.DispatchHandler["onResponseError"]>>): void {
    this.#handler.onResponseError?.(...about);
  }
}
