import { randomUUID } from "node:crypto";
import type { Clock } from "@davpool/core";
import { ProtocolError, ProtocolErrorCode } from "@modelcontextprotocol/server";
import { ANSWER_TIME, type Fields } from "./messages.ts";

/** So begin the states that are this gateway's own, and mean nothing to servers. */
const MARK = "davpool:";
/** Calls of one principal that may wait at one time. */
const MOST = 100;

interface Question {
  readonly method: string;
  readonly params: Fields | undefined;
  readonly answer: (response: Fields) => void;
}

/** A call that waits for its client: to a server of the older era, which asks by requests. */
export class SuspendedCall {
  readonly principal: string | undefined;
  readonly #questions = new Map<string, Question>();
  readonly #controller = new AbortController();
  #asked = Promise.withResolvers<"asked">();
  #count = 0;
  /** What the server answers in the end. */
  result!: Promise<Fields>;

  constructor(principal: string | undefined) {
    this.principal = principal;
  }

  /** Ends the call at the server. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  readonly ask = (method: string, params: Fields | undefined, signal: AbortSignal): Promise<Fields> =>
    new Promise((resolve, reject) => {
      const key = `question-${++this.#count}`;
      this.#questions.set(key, { method, params, answer: resolve });
      signal.addEventListener(
        "abort",
        () => {
          this.#questions.delete(key);
          reject(new Error("The server does not wait for the answer any more."));
        },
        { once: true },
      );
      this.#asked.resolve("asked");
    });

  isOf(principal: string | undefined): boolean {
    return this.principal === principal;
  }

  /** What the client answered. What it left out is asked again. */
  answered(responses: Fields): void {
    for (const [key, question] of this.#questions) {
      const response = responses[key];
      if (typeof response !== "object" || response === null) continue;
      this.#questions.delete(key);
      question.answer(response as Fields);
    }
  }

  /** The result, or the questions to put to the client first. */
  async next(client: AbortSignal): Promise<{ readonly result: Fields } | { readonly questions: Fields }> {
    const abort = () => this.#controller.abort(client.reason);
    client.addEventListener("abort", abort, { once: true });
    if (client.aborted) abort();
    try {
      for (;;) {
        if (this.#questions.size > 0) return { questions: this.#pending() };
        this.#asked = Promise.withResolvers();
        const first = await Promise.race([this.result, this.#asked.promise]);
        if (first !== "asked") return { result: first };
      }
    } finally {
      client.removeEventListener("abort", abort);
    }
  }

  abandon(): void {
    this.#controller.abort(new Error("The client did not come back with its answer."));
  }

  #pending(): Fields {
    return Object.fromEntries(
      [...this.#questions].map(([key, { method, params }]) => [key, { method, params: params ?? {} }]),
    );
  }
}

/**
 * Calls of clients of 2026-07-28 whose server wants to know something. Such a client cannot be sent a question: it gets
 * an answer that asks, and comes back with a request that answers, while the server is kept waiting.
 */
export class SuspendedCalls {
  readonly #clock: Clock;
  readonly #waiting = new Map<string, { readonly call: SuspendedCall; readonly limit: Disposable }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** True for a state that was given out here. */
  owns(state: unknown): state is string {
    return typeof state === "string" && state.startsWith(MARK);
  }

  /** @returns the state with which the client takes it up again. */
  keep(call: SuspendedCall): string {
    const own = [...this.#waiting].filter(([, waiting]) => waiting.call.isOf(call.principal));
    if (own.length >= MOST) this.#take(own[0]?.[0] ?? "")?.abandon();
    const state = MARK + randomUUID();
    const limit = this.#clock.after(ANSWER_TIME, () => this.#take(state)?.abandon(), { background: true });
    this.#waiting.set(state, { call, limit });
    // Nobody hears how it ends, if nobody comes back.
    call.result.catch(() => {});
    return state;
  }

  /** @throws ProtocolError for a state that is not known, or another's. */
  resume(state: string, principal: string | undefined): SuspendedCall {
    if (this.#waiting.get(state)?.call.isOf(principal) !== true)
      throw new ProtocolError(
        ProtocolErrorCode.InvalidParams,
        "Nothing waits for this requestState any more. Send the request again without it.",
      );
    return this.#take(state) as SuspendedCall;
  }

  #take(state: string): SuspendedCall | undefined {
    const waiting = this.#waiting.get(state);
    this.#waiting.delete(state);
    waiting?.limit[Symbol.dispose]();
    return waiting?.call;
  }
}
