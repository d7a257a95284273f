import type { Socket } from "node:net";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Clock } from "../clock.ts";
import type { Direction } from "./proxy-fault.ts";
import type { Meeting } from "./switchboard.ts";

/** Bytes on their way in one direction before their sender has to wait. */
const MOST_HELD = 256 * 1024;

/** What is on its way: bytes, or the news that the source has ended or reset the connection. */
interface Held {
  readonly what: Uint8Array | "end" | "reset";
  readonly since: number;
}

export interface LaneOptions {
  readonly direction: Direction;
  readonly source: Socket;
  readonly sink: Socket;
  readonly clock: Clock;
  /** The faults that act on what passes next. */
  acting(lane: Lane, what: "bytes" | "end"): readonly Meeting[];
  /** Resets the connection towards both sides. */
  reset(): void;
  /** The fault has silenced the lane: nothing will pass any more. */
  silenced(meeting: Meeting): void;
}

/**
 * One direction of a proxied connection: forwards everything in order, as fast as the sink takes it, with what the
 * faults that are on at that moment do to it.
 */
export class Lane {
  readonly direction: Direction;
  readonly #options: LaneOptions;
  #held: Held[] = [];
  #heldBytes = 0;
  #passed = 0;
  #forwarding = false;
  #stopped: "silence" | "stall" | "closed" | undefined;
  #ended = false;
  #wake: (() => void) | undefined;

  constructor(options: LaneOptions) {
    const { source, sink } = options;
    this.direction = options.direction;
    this.#options = options;
    source.on("data", (bytes: Uint8Array) => this.#take(bytes));
    source.once("end", () => {
      this.#ended = true;
      this.#take("end");
    });
    source.once("close", () => {
      if (!this.#ended) this.#take("reset");
    });
    sink.on("drain", () => this.#refill());
    sink.once("close", () => this.#stop("closed"));
  }

  /** Bytes that have been forwarded. */
  get passed(): number {
    return this.#passed;
  }

  /** Whether a fault has silenced the lane. */
  get silent(): boolean {
    return this.#stopped === "silence" || this.#stopped === "stall";
  }

  /** Whether the source has said that it will send nothing more. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Faults have been switched on or off: looks again how long there is to wait. */
  wake(): void {
    this.#wake?.();
  }

  #take(what: Held["what"]): void {
    if (this.#stopped !== undefined) return;
    const { source, sink, clock } = this.#options;
    if (typeof what !== "string") {
      if (!this.#forwarding && this.#acting("bytes").length === 0) {
        this.#passed += what.length;
        if (!sink.write(what)) source.pause();
        return;
      }
      this.#heldBytes += what.length;
      if (this.#heldBytes >= MOST_HELD) source.pause();
    }
    this.#held.push({ what, since: clock.now() });
    if (!this.#forwarding) void this.#forward();
  }

  async #forward(): Promise<void> {
    this.#forwarding = true;
    for (let next = this.#held[0]; next !== undefined; next = this.#held[0]) {
      const { what, since } = next;
      const kind = typeof what === "string" ? "end" : "bytes";
      const due = (): number => since + most(this.#acting(kind), ({ latencyMs = 0 }) => latencyMs);
      // Without anything to wait for, what the fault does happens at once, before anybody is told that it has met.
      if (due() > this.#options.clock.now()) await this.#until(due);
      if (typeof what === "string") this.#conclude(what);
      else await this.#pass(what);
      if (this.#stopped !== undefined) break;
      this.#held.shift();
      this.#heldBytes -= typeof what === "string" ? 0 : what.length;
      this.#refill();
    }
    this.#forwarding = false;
  }

  async #pass(bytes: Uint8Array): Promise<void> {
    let rest = bytes;
    while (rest.length > 0 && this.#stopped === undefined) {
      const acting = this.#acting("bytes");
      const left = this.#leftUntilCut(acting);
      if (left <= 0) {
        this.#cut(acting);
        return;
      }
      const piece = least(acting, ({ pieceBytes = Infinity }) => pieceBytes);
      const size = Math.min(rest.length, left, piece);
      await this.#write(rest.subarray(0, size));
      this.#passed += size;
      rest = rest.subarray(size);
      if (piece === Infinity) continue;
      // A whole turn of the event loop: else the receiver, if it is in this process, would read several as one.
      await nextTurn();
      await nextTurn();
      const sent = this.#options.clock.now();
      await this.#until(() => sent + most(this.#acting("bytes"), ({ pauseMs }) => pauseMs?.(size) ?? 0));
    }
  }

  /** Passes on how the source has finished, unless that is what a fault conceals. */
  #conclude(what: "end" | "reset"): void {
    if (this.#stopped !== undefined) return;
    const acting = this.#acting("end");
    if (this.#leftUntilCut(acting) <= 0) this.#cut(acting);
    else if (what === "end") this.#options.sink.end();
    else this.#options.reset();
  }

  #leftUntilCut(acting: readonly Meeting[]): number {
    return Math.min(...acting.map((meeting) => this.#left(meeting)));
  }

  #left({ behaviour, from }: Meeting): number {
    return behaviour.cut === undefined ? Infinity : from + behaviour.cut.afterBytes - this.#passed;
  }

  /** Lets the first of the faults whose time has come do its work. */
  #cut(acting: readonly Meeting[]): void {
    const meeting = acting.find((each) => this.#left(each) <= 0);
    const by = meeting?.behaviour.cut?.by;
    if (meeting === undefined || by === undefined) return;
    if (by === "reset") {
      this.#options.reset();
      return;
    }
    this.#stop(by);
    this.#options.silenced(meeting);
  }

  #stop(why: "silence" | "stall" | "closed"): void {
    if (this.#stopped !== undefined) return;
    this.#stopped = why;
    this.#held = [];
    this.#heldBytes = 0;
    if (why === "stall") this.#options.source.pause();
    else this.#options.source.resume();
    this.wake();
  }

  #refill(): void {
    const { source, sink } = this.#options;
    if (this.#stopped === undefined && this.#heldBytes < MOST_HELD && !sink.writableNeedDrain) source.resume();
  }

  #acting(what: "bytes" | "end"): readonly Meeting[] {
    return this.#options.acting(this, what);
  }

  /** Resolves when the bytes have left this process, or will not any more. */
  #write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      this.#options.sink.write(bytes, () => resolve());
    });
  }

  /** Waits for a time on the clock, which faults that are switched on or off may change. */
  async #until(due: () => number): Promise<void> {
    const { clock } = this.#options;
    for (let ms = due() - clock.now(); ms > 0 && this.#stopped === undefined; ms = due() - clock.now()) {
      await new Promise<void>((resolve) => {
        const timer = Number.isFinite(ms) ? clock.after(ms, resolve) : undefined;
        this.#wake = () => {
          timer?.[Symbol.dispose]();
          resolve();
        };
      });
      this.#wake = undefined;
    }
  }
}

function most(acting: readonly Meeting[], of: (behaviour: Meeting["behaviour"]) => number): number {
  return Math.max(0, ...acting.map(({ behaviour }) => of(behaviour)));
}

function least(acting: readonly Meeting[], of: (behaviour: Meeting["behaviour"]) => number): number {
  return Math.min(...acting.map(({ behaviour }) => of(behaviour)));
}
