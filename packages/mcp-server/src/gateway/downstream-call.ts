import type { Caller } from "@davpool/core";
import type { Server, ServerContext } from "@modelcontextprotocol/server";
import type { LastingClient } from "../lasting-client.ts";
import type { Fields } from "./messages.ts";

/** One request of a client that goes on to a server. */
export interface DownstreamCall {
  readonly server: Server;
  readonly context: ServerContext;
  readonly caller: Caller;
  /** The client, if it stays. */
  readonly client: LastingClient | undefined;
  /** It is of 2026-07-28: nothing can be asked of its client but by an answer that asks. */
  readonly modern: boolean;
  /** Milliseconds within which it is answered, if the host limits it. */
  readonly limit: number | undefined;
  /** How its client is asked, where a question cannot be sent to it. */
  readonly ask?: (method: string, params: Fields | undefined, signal: AbortSignal) => Promise<Fields>;
}
