import { describeError, retryAfter, sleep, type Clock } from "@davpool/core";
import { request, type Dispatcher } from "undici";
import { signedHeaders } from "./signature.ts";

/** Milliseconds before the second attempt; doubles with each further one. */
const FIRST_PAUSE = 1_000;
/** Milliseconds that no pause exceeds, whatever the receiver asks for. */
const LONGEST_PAUSE = 60_000;
/** Bytes of an answer that are read, so that its connection can be used again. */
const ANSWER_LIMIT = 16 * 1_024;

export interface Receiver {
  readonly url: URL;
  readonly key: Buffer;
  /** Milliseconds that one attempt may take. */
  readonly timeout: number;
  /** Attempts after the first one. */
  readonly retries: number;
  readonly userAgent: string;
  readonly dispatcher: Dispatcher;
  readonly clock: Clock;
  readonly random: () => number;
}

export interface DeliverySignals {
  /** Aborts when there is no time to wait any more: a pause ends, and the attempt after it is the last one. */
  readonly hurry: AbortSignal;
  /** Aborts when there is no time at all. */
  readonly end: AbortSignal;
}

export interface DeliveryResult {
  readonly delivered: boolean;
  readonly attempts: number;
  /** Why the last attempt failed, in one line. */
  readonly problem?: string;
}

/** Sends one message until it is taken, refused, or given up. Never rejects. */
export async function deliver(
  id: string,
  body: string,
  receiver: Receiver,
  signals: DeliverySignals,
): Promise<DeliveryResult> {
  for (let attempts = 1; ; attempts++) {
    const failure = await attempt(id, body, receiver, signals.end);
    if (!failure) return { delivered: true, attempts };
    const { problem, passing, asked } = failure;
    if (!passing || attempts > receiver.retries || signals.hurry.aborted)
      return { delivered: false, attempts, problem };
    const ms = pauseAfter(attempts, asked, receiver.random);
    await sleep(receiver.clock, ms, { signal: signals.hurry, background: true });
  }
}

interface AttemptFailure {
  readonly problem: string;
  /** It may go well next time. */
  readonly passing: boolean;
  /** Milliseconds that the receiver asked to wait. */
  readonly asked?: number;
}

async function attempt(
  id: string,
  body: string,
  { url, key, timeout, userAgent, dispatcher, clock }: Receiver,
  end: AbortSignal,
): Promise<AttemptFailure | undefined> {
  const limit = new AbortController();
  const giveUp = () => limit.abort(new Error(`no answer within ${timeout} ms`));
  const timer = clock.after(timeout, giveUp, { background: true });
  const signal = AbortSignal.any([limit.signal, end]);
  try {
    const answer = await request(url, {
      method: "POST",
      // The time of this attempt, not of the notice: receivers refuse what is too old.
      headers: {
        "content-type": "application/json",
        "user-agent": userAgent,
        ...signedHeaders(key, id, clock.wall(), body),
      },
      body,
      signal,
      dispatcher,
    });
    const { statusCode, headers } = answer;
    // The status is the answer; what comes after it may break off.
    await answer.body.dump({ limit: ANSWER_LIMIT, signal }).catch(() => undefined);
    if (statusCode >= 200 && statusCode < 300) return undefined;
    const asked = retryAfter(headers["retry-after"], clock.wall());
    return {
      problem: `it answered ${statusCode}`,
      passing: statusCode >= 500 || statusCode === 429,
      ...(asked !== undefined && { asked }),
    };
  } catch (error) {
    return { problem: describeError(error), passing: true };
  } finally {
    timer[Symbol.dispose]();
  }
}

/** Half of each pause is left to chance, so that many senders do not come back together. */
function pauseAfter(attempts: number, asked: number | undefined, random: () => number): number {
  const usual = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (attempts - 1)) * (0.5 + 0.5 * random());
  return Math.max(usual, Math.min(LONGEST_PAUSE, asked ?? 0));
}
