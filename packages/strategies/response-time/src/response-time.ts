import {
  DurationSchema,
  definePlugin,
  milliseconds,
  type Clock,
  type Observation,
  type RequestTraits,
  type Selector,
  type ServerView,
} from "@davpool/core";
import { Type, type Static } from "typebox";
import { LatencyEstimate } from "./latency-estimate.ts";

const options = Type.Object({
  decay: Type.Optional(
    DurationSchema({ default: "10s", description: "How long a slow answer is remembered; longer is more cautious." }),
  ),
  penalty: Type.Optional(
    DurationSchema({ default: "5s", description: "Response time that a failed attempt counts as, at least." }),
  ),
  explore: Type.Optional(
    Type.Number({
      minimum: 0,
      maximum: 1,
      default: 0.005,
      description: "Share of attempts that may go to a server that has not been heard of for a second.",
    }),
  ),
});

export type ResponseTimeOptions = Static<typeof options>;

declare module "@davpool/core" {
  interface SelectorOptions {
    "response-time": ResponseTimeOptions;
    response_time: ResponseTimeOptions;
  }
}

/**
 * Draws two servers and takes the one where the request would wait less: power of two choices over the peak-sensitive
 * moving average of each server's response time.
 */
export const responseTime = definePlugin({
  kind: "selector",
  name: "response-time",
  aliases: ["response_time"],
  options,
  create: ({ clock, random }, { decay = "10s", penalty = "5s", explore = 0.005 }) =>
    new ResponseTime(clock, random, {
      decay: Math.max(1, milliseconds(decay)),
      penalty: milliseconds(penalty),
      explore,
    }),
});

/** Milliseconds without news after which an idle server may be explored: the price of a bad one under heavy load. */
const UNHEARD = 1_000;

/** Estimates that differ by less than this share plus these milliseconds differ by noise. */
const NOISE_SHARE = 0.5;
const NOISE = 2;

/** Weight of one answer in the pool's typical response time. */
const TYPICAL_WEIGHT = 1 / 16;

class ResponseTime implements Selector {
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #settings: { readonly decay: number; readonly penalty: number; readonly explore: number };
  readonly #estimates = new Map<string, LatencyEstimate>();
  /** What an answer of this pool takes; 0 before the first. */
  #typical = 0;

  constructor(clock: Clock, random: () => number, settings: { decay: number; penalty: number; explore: number }) {
    this.#clock = clock;
    this.#random = random;
    this.#settings = settings;
  }

  select(candidates: readonly [ServerView, ...ServerView[]], traits: RequestTraits): ServerView {
    const count = candidates.length;
    if (count === 1) return candidates[0];
    const now = this.#clock.now();
    // Only with a request that another server may repeat: a server with a bad history may well fail again.
    if (this.#random() < this.#settings.explore && traits.repeat !== "neither" && traits.replayable) {
      const unheard = this.#longestUnheard(candidates, now);
      if (unheard) return unheard;
    }
    const first = Math.floor(this.#random() * count);
    const distance = count === 2 ? 1 : 1 + Math.floor(this.#random() * (count - 1));
    return this.#better(
      candidates[first] ?? candidates[0],
      candidates[(first + distance) % count] ?? candidates[0],
      now,
    );
  }

  observe({ serverId }: ServerView, { latency, end, failure }: Observation): void {
    const now = this.#clock.now();
    let estimate = this.#estimates.get(serverId);
    if (!estimate) this.#estimates.set(serverId, (estimate = new LatencyEstimate(this.#settings.decay)));
    const blameless = failure?.blame === "caller" || failure?.blame === "request";
    if (end === "cancelled" || blameless) estimate.atLeast(latency, this.#typical, now);
    // Whoever is to blame, a lost connection or a refusal was quick and of no use: it must not look like speed.
    else if (end === "failure" || failure) estimate.failed(Math.max(latency, this.#settings.penalty), now);
    else {
      estimate.answered(latency, now);
      this.#typical += this.#typical === 0 ? latency : (latency - this.#typical) * TYPICAL_WEIGHT;
    }
  }

  forget(serverId: string): void {
    this.#estimates.delete(serverId);
  }

  /** Of equals the first one, which was drawn at random. */
  #better(one: ServerView, other: ServerView, now: number): ServerView {
    const known = this.#known(one, now);
    const otherKnown = this.#known(other, now);
    // An unknown server counts as typical, and never as slower than the one beside it: so it is tried early, is not
    // flooded because its attempts in flight count, and cannot be starved.
    const latency = known ?? Math.min(this.#typical, otherKnown ?? this.#typical);
    const otherLatency = otherKnown ?? Math.min(this.#typical, latency);
    if (alike(latency, otherLatency)) return other.inFlight < one.inFlight ? other : one;
    return otherLatency * (other.inFlight + 1) < latency * (one.inFlight + 1) ? other : one;
  }

  #known(server: ServerView, now: number): number | undefined {
    const estimate = this.#estimates.get(server.serverId);
    return estimate === undefined || estimate.unknown(now) ? undefined : estimate.value;
  }

  /** The idle server that nothing was heard of for longest, if that is long enough. */
  #longestUnheard(candidates: readonly ServerView[], now: number): ServerView | undefined {
    let chosen: ServerView | undefined;
    let oldest = now - UNHEARD;
    for (const candidate of candidates) {
      const seenAt = this.#estimates.get(candidate.serverId)?.seenAt ?? -Infinity;
      if (seenAt > oldest || candidate.inFlight > 0) continue;
      chosen = candidate;
      oldest = seenAt;
    }
    return chosen;
  }
}

/**
 * Equal servers have unequal estimates, each its own latest peak. Without tolerance the one with the highest peak
 * would get nothing for seconds, since only its own answers could lower it.
 */
function alike(one: number, other: number): boolean {
  return Math.max(one, other) <= Math.min(one, other) * (1 + NOISE_SHARE) + NOISE;
}
