import { setTimeout as delay } from "node:timers/promises";
import { startApache, type RealServer } from "@davpool/testkit/real-servers";

type State = "well" | "killed" | "hanging";

/** Milliseconds between two strokes: at least, and at most so much more. */
const PAUSE = [200, 1_000] as const;
/** How often a server that is ill is dealt with, instead of one that is well: with less, more are ill at a time. */
const REVIVAL = 0.4;
/** How often a server that hangs is killed instead of let go on. */
const KILL_OF_HANGING = 0.3;

/** Real Apache servers, each with its own folder, that are killed, made to hang and started again at random. */
export class ChaosServers implements AsyncDisposable {
  readonly #servers: readonly { readonly server: RealServer; state: State }[];
  readonly counts = { kills: 0, hangs: 0, restarts: 0, continued: 0 };

  private constructor(servers: readonly RealServer[]) {
    this.#servers = servers.map((server) => ({ server, state: "well" }));
  }

  static async start(count: number): Promise<ChaosServers> {
    await using stack = new AsyncDisposableStack();
    const servers: RealServer[] = [];
    for (let index = 0; index < count; index++) servers.push(stack.use(await startApache()));
    const started = new ChaosServers(servers);
    stack.move();
    return started;
  }

  /** In the order of their ids. */
  get servers(): readonly RealServer[] {
    return this.#servers.map(({ server }) => server);
  }

  /** Strikes until the signal aborts. One server at least is always well. */
  async strike(random: () => number, signal: AbortSignal, tell: (text: string) => void): Promise<void> {
    while (!signal.aborted) {
      await delay(PAUSE[0] + random() * PAUSE[1], undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
      const well = this.#servers.filter(({ state }) => state === "well");
      const ill = this.#servers.filter(({ state }) => state !== "well");
      const from = well.length === 1 || (ill.length > 0 && random() < REVIVAL) ? ill : well;
      const victim = from[Math.floor(random() * from.length)];
      if (!victim) continue;
      tell(`s${this.#servers.indexOf(victim)} ${await this.#strikeOne(victim, random())}`);
    }
  }

  /** Has all of them run again. */
  async revive(): Promise<void> {
    for (const each of this.#servers) if (each.state !== "well") await this.#revive(each);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.servers.map((server) => server[Symbol.asyncDispose]()));
  }

  async #strikeOne(victim: { readonly server: RealServer; state: State }, chance: number): Promise<string> {
    if (victim.state === "killed" || (victim.state === "hanging" && chance >= KILL_OF_HANGING))
      return this.#revive(victim);
    if (victim.state === "well" && chance < 0.5) {
      victim.state = "hanging";
      this.counts.hangs++;
      await victim.server.pause();
      return "hangs";
    }
    victim.state = "killed";
    this.counts.kills++;
    await victim.server.kill();
    return "is killed";
  }

  async #revive(victim: { readonly server: RealServer; state: State }): Promise<string> {
    const { state } = victim;
    if (state === "hanging") {
      await victim.server.resume();
      this.counts.continued++;
    } else {
      await victim.server.start();
      this.counts.restarts++;
    }
    victim.state = "well";
    return state === "hanging" ? "goes on" : "starts again";
  }
}
