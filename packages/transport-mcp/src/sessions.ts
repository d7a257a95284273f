import type { Caller } from "@davpool/core";
import type { Eras } from "./eras.ts";
import { TooManyProcessesError } from "./errors.ts";
import { serverOf } from "./profile.ts";
import type { McpProfile } from "./wire.ts";

const SESSION = "session:";

/** True for the partition of one session of a caller. */
export function isSession(partition: string): boolean {
  return partition.startsWith(SESSION);
}

/** What one connection takes up. */
export interface Place {
  /** Call once, when it begins to close: whoever comes now does not find it. */
  leaving(): void;
  /** Call once, when nothing of it is left. */
  left(): void;
}

/** Who has sessions of its own with the servers of a pool, and how many processes that may take. */
export class Sessions {
  readonly #always: boolean;
  readonly #eras: Eras;
  readonly #maxProcesses: number;
  /** How many connections there are of a partition with a server; two while one takes the other's place. */
  readonly #open = new Map<string, number>();
  /** Processes by server. */
  readonly #processes = new Map<string, number>();

  /** @param always also with servers that are known to keep no sessions. */
  constructor(always: boolean, eras: Eras, maxProcesses: number) {
    this.#always = always;
    this.#eras = eras;
    this.#maxProcesses = maxProcesses;
  }

  /** The caller's partition with a server; `""` for the one that all share. */
  partition(profile: McpProfile, { session, principal }: Caller): string {
    const own = session !== undefined ? SESSION + session : principal !== undefined ? `principal:${principal}` : "";
    if (own === "" || this.#always) return own;
    const server = serverOf(profile);
    const keepsNone = profile.era === "modern" || this.#eras.modernOnly(server);
    // Whoever has one keeps it: what was begun before the server's era was known, or before it changed, is there.
    return keepsNone && !this.#open.has(keyOf(server, own)) ? "" : own;
  }

  /**
   * The place of a connection, until it has left. The shared one always has its place, or a server's health would
   * depend on who else is there.
   * @throws TooManyProcessesError
   */
  take(profile: McpProfile, partition: string): Place {
    const { serverId } = profile;
    const key = keyOf(serverOf(profile), partition);
    const process = profile.url === undefined;
    if (process && partition !== "" && (this.#processes.get(serverId) ?? 0) >= this.#maxProcesses)
      throw new TooManyProcessesError(serverId, this.#maxProcesses);
    count(this.#open, key, 1);
    if (process) count(this.#processes, serverId, 1);
    return {
      leaving: () => count(this.#open, key, -1),
      left: () => {
        if (process) count(this.#processes, serverId, -1);
      },
    };
  }
}

function keyOf(server: string, partition: string): string {
  return `${server}\n${partition}`;
}

function count(counts: Map<string, number>, key: string, change: 1 | -1): void {
  const now = (counts.get(key) ?? 0) + change;
  if (now === 0) counts.delete(key);
  else counts.set(key, now);
}
