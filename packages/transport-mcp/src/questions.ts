import { describeError, type Attempt, type Log } from "@davpool/core";
import {
  INTERNAL_ERROR,
  METHOD_NOT_FOUND,
  type JSONRPCMessage,
  type JSONRPCRequest,
} from "@modelcontextprotocol/client";
import type { Exchange } from "./channel.ts";
import type { UpstreamClient } from "./host.ts";
import type { McpRequest } from "./wire.ts";

/** What a question belongs to, as far as that is known. */
export interface Occasion {
  readonly request: McpRequest | undefined;
  /** Those whose time stands still meanwhile. */
  readonly attempts: readonly Attempt[];
  /** The exchange on whose stream it came. */
  readonly exchange: Exchange | undefined;
}

interface Open {
  readonly exchange: Exchange | undefined;
  readonly stop: AbortController;
  /** The server does not want an answer any more. */
  withdrawn: boolean;
}

/** What the server asks: each question has one answer, unless it is withdrawn. */
export class Questions {
  readonly #send: (answer: JSONRPCMessage) => Promise<void>;
  readonly #log: Log;
  readonly #serverId: string;
  readonly #open = new Map<string | number, Open>();

  constructor(send: (answer: JSONRPCMessage) => Promise<void>, log: Log, serverId: string) {
    this.#send = send;
    this.#log = log;
    this.#serverId = serverId;
  }

  /** Has the client answer, and sends what it says as it is. Never rejects. */
  async ask({ id, method, params }: JSONRPCRequest, client: UpstreamClient, occasion: Occasion): Promise<void> {
    // A stream that was taken up again may repeat what it said.
    if (this.#open.has(id)) return;
    const { exchange, request, attempts } = occasion;
    const stop = new AbortController();
    const question: Open = { exchange, stop, withdrawn: false };
    this.#open.set(id, question);
    const waits = attempts.flatMap((attempt) => attempt.wait?.() ?? []);
    if (exchange) exchange.questions++;
    const over = () => {
      for (const wait of waits) wait[Symbol.dispose]();
    };
    // Time runs again also where whoever is asked does not listen.
    stop.signal.addEventListener("abort", over, { once: true });
    let answer: Pick<JSONRPCMessage & { result: unknown }, "result"> | { readonly error: object };
    try {
      answer = client.request
        ? { result: await client.request(method, params, { signal: stop.signal, request }) }
        : { error: { code: METHOD_NOT_FOUND, message: `Method not found: ${method}` } };
    } catch (error) {
      answer = { error: errorOf(error) };
    }
    over();
    if (exchange) exchange.questions--;
    this.#open.delete(id);
    if (!question.withdrawn) await this.answer(id, answer);
  }

  /** Never rejects. */
  async answer(id: string | number, answer: object): Promise<void> {
    try {
      await this.#send({ jsonrpc: "2.0", id, ...answer } as JSONRPCMessage);
    } catch (error) {
      this.#log.debug("An answer did not reach the server that had asked.", {
        serverId: this.#serverId,
        reason: describeError(error),
      });
    }
  }

  /** The server has cancelled a question. False when it is none of these. */
  withdrawn(id: unknown): boolean {
    const question = this.#open.get(id as string | number);
    if (question) this.#withdraw(question, "the server has withdrawn its question");
    return question !== undefined;
  }

  /** Nobody waits any more for the answer to what this exchange was for. */
  given(up: Exchange): void {
    for (const { exchange, stop } of this.#open.values())
      if (exchange === up) stop.abort(new Error("the request that it belongs to has ended"));
  }

  /** The session has ended. */
  endAll(): void {
    for (const question of this.#open.values()) this.#withdraw(question, "the session with the server has ended");
  }

  #withdraw(question: Open, why: string): void {
    question.withdrawn = true;
    question.stop.abort(new Error(why));
  }
}

/** What was thrown, as JSON-RPC has it. */
function errorOf(error: unknown): object {
  const { code, message, data } = (error ?? {}) as Readonly<Record<string, unknown>>;
  return {
    code: Number.isSafeInteger(code) ? code : INTERNAL_ERROR,
    message: typeof message === "string" ? message : describeError(error),
    ...(data !== undefined && { data }),
  };
}
