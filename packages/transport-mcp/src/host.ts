import { token } from "@davpool/core";
import type { Era, McpRequest } from "./wire.ts";

type Fields = Readonly<Record<string, unknown>>;

/** Stands behind the sessions with upstream servers: whom they may ask, and who hears what they say. */
export interface McpHost {
  /** Asked before each session with a server begins. */
  client(session: UpstreamSession): UpstreamClient;
}

/** One session with one server, as the host sees it. A session that is lost is followed by another one. */
export interface UpstreamSession {
  readonly pool: string;
  readonly serverId: string;
  /** The connection's partition: `""` shared, `principal:<name>`, `session:<id>`. */
  readonly partition: string;
  /** Whether messages of the server tell which request they belong to: over HTTP they do, over pipes they do not. */
  readonly relates: boolean;
  /** Known once it has begun. */
  readonly era: Era | undefined;
  /** What the server says it can do; known once it has begun. */
  readonly serverCapabilities: Fields | undefined;
  /** Sends a notification. Without effect before the session has begun and after it has ended. Never rejects. */
  notify(method: string, params?: Fields): Promise<void>;
  /**
   * A request outside of the engine's, for what belongs to the session itself, such as `logging/setLevel`.
   * @returns the result.
   * @throws an error with the numeric `code` of a JSON-RPC error that the server answers; any other where no answer comes.
   */
  request(method: string, params: Fields, signal: AbortSignal): Promise<Fields>;
}

/** davpool's side of one session. */
export interface UpstreamClient {
  /** What davpool's client says in this session that it can do: `sampling`, `elicitation`, `roots`. */
  readonly capabilities: Fields;
  /** The session has begun. */
  began?(): void;
  /**
   * Answers what the server asks: `sampling/createMessage`, `elicitation/create`, `roots/list`. Absent: -32601. Reject
   * with an error that has a numeric `code`, a `message` and perhaps `data` to answer with that JSON-RPC error.
   */
  request?(method: string, params: Fields | undefined, about: AskedAbout): Promise<Fields>;
  /**
   * A notification of the server that is neither progress nor a cancellation, with the request it belongs to where that
   * is known.
   */
  notified?(method: string, params: Fields | undefined, about: McpRequest | undefined): void;
  /** The session has ended, or it never began. Called once. */
  ended?(): void;
}

/** What is known of a server's question. */
export interface AskedAbout {
  /** Aborts when nobody waits for the answer any more: the server has cancelled its question, or the session has ended. */
  readonly signal: AbortSignal;
  /** The request that it belongs to, where that is known. */
  readonly request: McpRequest | undefined;
}

/** Where the transport looks for its host. Without one, servers may ask nothing, and nobody hears what they say. */
export const MCP_HOST = token<McpHost>("davpool:mcp-host");
