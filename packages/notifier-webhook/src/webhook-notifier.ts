import { randomUUID } from "node:crypto";
import type { Log, Notice, NoticeKind, Notifier } from "@davpool/core";
import { Agent } from "undici";
import { deliver, type Receiver } from "./delivery.ts";
import { Repeats } from "./repeats.ts";
import type { WebhookNotice } from "./webhook-notice.ts";

/** Milliseconds that closing takes at most, with whatever still waits. */
const CLOSING_LIMIT = 3_000;

export interface WebhookNotifierInit extends Omit<Receiver, "key" | "dispatcher"> {
  readonly events: ReadonlySet<NoticeKind>;
  /** Milliseconds in which equal failovers are counted. */
  readonly repeatInterval: number;
  /** Notices that may wait. */
  readonly queueSize: number;
  /** Deliveries at one time, pauses between their attempts included. */
  readonly concurrency: number;
  readonly log: Log;
  /** Finds the key that messages are signed with. */
  readonly key: (signal: AbortSignal) => Promise<Buffer>;
}

/** Puts notices into a bounded queue and sends them to one web address, beside whatever the pool does. */
export class WebhookNotifier implements Notifier, AsyncDisposable {
  readonly #init: WebhookNotifierInit;
  readonly #agent: Agent;
  readonly #repeats: Repeats;
  readonly #waiting: WebhookNotice[] = [];
  readonly #running = new Set<Promise<void>>();
  readonly #hurry = new AbortController();
  readonly #end = new AbortController();
  #key: Buffer | undefined;
  /** Dropped, refused or given up, and the receiver has not been told. */
  #missed = 0;
  /** Too many came, and not all that wait have been sent since. */
  #overflowing = false;

  constructor(init: WebhookNotifierInit) {
    this.#init = init;
    this.#repeats = new Repeats(init.repeatInterval, init.clock, (notice) => this.#enqueue(notice));
    // Attempts are timed by the pool's clock.
    this.#agent = new Agent({ connections: init.concurrency, headersTimeout: 0, bodyTimeout: 0 });
  }

  /** @throws SecretError when there is nothing to sign with. */
  async start(signal: AbortSignal): Promise<void> {
    this.#key = await this.#init.key(signal);
  }

  notify(notice: Notice): void {
    if (!this.#hurry.signal.aborted && this.#init.events.has(notice.kind)) this.#repeats.take(notice);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#repeats.flush();
    this.#hurry.abort();
    const limit = this.#init.clock.after(CLOSING_LIMIT, () => this.#giveUp());
    while (this.#running.size > 0) await Promise.all(this.#running);
    limit[Symbol.dispose]();
    await this.#agent.destroy();
  }

  #enqueue(notice: WebhookNotice): void {
    const { queueSize, log } = this.#init;
    this.#waiting.push(notice);
    this.#pump();
    if (this.#waiting.length <= queueSize) return;
    this.#waiting.shift();
    this.#missed++;
    if (this.#overflowing) return;
    this.#overflowing = true;
    log.warn("More notices come than the webhook takes; the oldest that wait are dropped.", this.#fields());
  }

  #pump(): void {
    while (this.#running.size < this.#init.concurrency) {
      const notice = this.#waiting.shift();
      if (!notice) {
        this.#overflowing = false;
        return;
      }
      const sending = this.#send(notice).finally(() => {
        this.#running.delete(sending);
        this.#pump();
      });
      this.#running.add(sending);
    }
  }

  async #send(notice: WebhookNotice): Promise<void> {
    const { log } = this.#init;
    const missed = this.#missed;
    this.#missed = 0;
    const body = JSON.stringify(missed === 0 ? notice : { ...notice, missed });
    const receiver = { ...this.#init, key: this.#key as Buffer, dispatcher: this.#agent };
    const signals = { hurry: this.#hurry.signal, end: this.#end.signal };
    const { delivered, attempts, problem } = await deliver(`msg_${randomUUID()}`, body, receiver, signals);
    const fields = { ...this.#fields(), kind: notice.kind, attempts };
    if (delivered) {
      log.debug("The webhook took a notice.", fields);
      return;
    }
    this.#missed += missed + 1;
    log.warn(`The webhook did not take a notice: ${problem}`, fields);
  }

  #giveUp(): void {
    const lost = this.#waiting.splice(0).length;
    if (lost > 0) this.#init.log.warn(`${lost} notices still waited for the webhook and are lost.`, this.#fields());
    this.#end.abort(new Error("the pool closed"));
  }

  /** Without the address's path: it often is a secret itself. */
  #fields(): { readonly receiver: string } {
    return { receiver: this.#init.url.origin };
  }
}
