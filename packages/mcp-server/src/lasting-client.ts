import type { Server } from "@modelcontextprotocol/server";
import type { DownstreamCall } from "./gateway/downstream-call.ts";

/** A client that stays, with its session here or at the other end of the pipes. */
export class LastingClient {
  /** What it is connected with; another one once its session was repaired. */
  server!: Server;
  /** Addresses that it wants to hear of, as it knows them. */
  readonly wanted = new Set<string>();
  /** Its calls that servers have not answered yet. */
  readonly running = new Set<DownstreamCall>();
  /** The least severe log messages that it wants; undefined for what servers choose. */
  level: string | undefined;
  /** Its session has ended: nothing begins for it any more. */
  gone = false;
  #idle: PromiseWithResolvers<void> | undefined;

  /** A call of its has ended. */
  ended(call: DownstreamCall): void {
    this.running.delete(call);
    if (this.running.size === 0) this.#idle?.resolve();
  }

  /** Resolves when none of its calls is running. */
  async idle(): Promise<void> {
    if (this.running.size > 0) await (this.#idle ??= Promise.withResolvers()).promise;
    this.#idle = undefined;
  }
}
