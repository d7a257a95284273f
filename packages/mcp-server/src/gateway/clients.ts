import type { Log } from "@davpool/core";
import type { AskedAbout, McpHost, UpstreamClient, UpstreamSession } from "@davpool/transport-mcp";
import { ProtocolError, ProtocolErrorCode } from "@modelcontextprotocol/server";
import type { LastingClient } from "../lasting-client.ts";
import type { DownstreamCall } from "./downstream-call.ts";
import { ANSWER_TIME, ANYTHING, capabilitiesOf, mayAsk, withSource, wouldHear, type Fields } from "./messages.ts";

const SESSION = "session:";
/** What davpool says of itself where it does not know yet who will be asked. */
const ALL = { sampling: {}, elicitation: { form: {}, url: {} }, roots: { listChanged: true } };
/** Milliseconds that a server may take to take note of a setting. */
const PLUMBING = 10_000;

/** Hears what servers say that concerns everybody. */
export interface PoolEars {
  began(session: UpstreamSession): void;
  listChanged(session: UpstreamSession, method: string): void;
  /** @param client undefined for everybody who wants to hear of it. */
  resourceUpdated(session: UpstreamSession, params: Fields, client: LastingClient | undefined): void;
  /**
   * What a client wants to hear of, as the servers of the pool know it.
   * @param client undefined for all that share a session.
   */
  originalUris(pool: string, client: LastingClient | undefined): readonly string[];
}

/**
 * The clients behind the sessions with upstream servers: each server's question goes to the client whose session or whose
 * request it belongs to, and to no other.
 */
export class Clients implements McpHost {
  readonly #log: Log;
  readonly #bySession = new Map<string, LastingClient>();
  /** The only client that there will ever be, at the other end of the pipes. */
  #sole: LastingClient | undefined;
  /** Sessions that have begun for one client alone, by partition. */
  readonly #upstream = new Map<string, Set<UpstreamSession>>();
  ears: PoolEars | undefined;

  constructor(log: Log) {
    this.#log = log;
  }

  /** A client that stays has connected over pipes. */
  connected(client: LastingClient): void {
    this.#sole = client;
  }

  /** A client has sent something in its session. */
  seen(sessionId: string, client: LastingClient): void {
    if (!client.gone) this.#bySession.set(sessionId, client);
  }

  /** The client's session has ended. Resolves when nothing that was begun for it is under way any more. */
  async forget(sessionId: string): Promise<void> {
    const client = this.#bySession.get(sessionId);
    this.#bySession.delete(sessionId);
    this.#upstream.delete(SESSION + sessionId);
    await client?.idle();
  }

  /** Whether servers of the pool know the client by a session that is its own. */
  hasOwn(sessionId: string | undefined, pool: string): boolean {
    if (sessionId === undefined) return false;
    for (const session of this.#upstream.get(SESSION + sessionId) ?? []) if (session.pool === pool) return true;
    return false;
  }

  /** What servers must be told about one client, in the sessions that are its own. */
  tell(sessionId: string | undefined, method: string, params: Fields | undefined): void {
    for (const session of this.#upstream.get(partitionOf(sessionId)) ?? []) void session.notify(method, params);
  }

  /** The client wants to see log messages from this level on. */
  setLevel(sessionId: string | undefined, client: LastingClient, level: string): void {
    client.level = level;
    for (const session of this.#upstream.get(partitionOf(sessionId)) ?? []) this.#setLevel(session, level);
  }

  client(session: UpstreamSession): UpstreamClient {
    const { partition } = session;
    const own = () => this.#clientOf(partition);
    const client = own();
    return {
      capabilities: partition.startsWith(SESSION) ? capabilitiesOf(client?.server) : ALL,
      began: () => this.#began(session),
      ended: () => void this.#upstream.get(partition)?.delete(session),
      request: (method, params, about) => this.#ask(session, own(), method, params, about),
      notified: (method, params, about) =>
        this.#heard(session, own(), method, params, about?.origin as DownstreamCall | undefined),
    };
  }

  /** Nobody in particular stands behind what all share, unless there is only one client at all. */
  #clientOf(partition: string): LastingClient | undefined {
    return partition.startsWith(SESSION) ? this.#bySession.get(partition.slice(SESSION.length)) : this.#sole;
  }

  #began(session: UpstreamSession): void {
    const { partition, pool } = session;
    this.ears?.began(session);
    const client = this.#clientOf(partition);
    // It may be the next one after a session that was lost: what was said in that must be said again.
    if (client || partition === "")
      for (const uri of this.ears?.originalUris(pool, client) ?? [])
        this.#plumb(session, "resources/subscribe", { uri });
    if (!client) return;
    if (client.level !== undefined) this.#setLevel(session, client.level);
    let sessions = this.#upstream.get(partition);
    if (!sessions) this.#upstream.set(partition, (sessions = new Set()));
    sessions.add(session);
  }

  #setLevel(session: UpstreamSession, level: string): void {
    // In the newer era each request says it.
    if (session.era === "legacy" && session.serverCapabilities?.["logging"] !== undefined)
      this.#plumb(session, "logging/setLevel", { level });
  }

  #plumb(session: UpstreamSession, method: string, params: Fields): void {
    session.request(method, params, AbortSignal.timeout(PLUMBING)).catch((error: unknown) => {
      this.#log.debug(`A server did not take note of ${method}.`, {
        pool: session.pool,
        serverId: session.serverId,
        error: String(error),
      });
    });
  }

  /** @throws ProtocolError when there is nobody to ask. */
  #ask(
    { relates }: UpstreamSession,
    client: LastingClient | undefined,
    method: string,
    params: Fields | undefined,
    { signal, request }: AskedAbout,
  ): Promise<Fields> {
    const related = request?.origin as DownstreamCall | undefined;
    // A client of 2026-07-28 can be asked only as an answer to one of its calls. They are all its own, so any will do.
    const call = related ?? [...(client?.running ?? [])].findLast(({ modern }) => modern);
    const server = call?.server ?? client?.server;
    const able = server !== undefined && mayAsk(capabilitiesOf(server, call?.context), method);
    // Servers ask for roots when a session begins. Whoever has none to show has none; and a client that would have to be
    // asked in the answer to a call is not asked for what most likely has nothing to do with the call.
    if (method === "roots/list" && (!able || (call?.modern === true && !relates)))
      return Promise.resolve({ roots: [] });
    if (!able)
      return Promise.reject(
        new ProtocolError(ProtocolErrorCode.MethodNotFound, `No client stands behind this that answers ${method}.`),
      );
    if (call?.ask) return call.ask(method, params, signal);
    const question = { method, ...(params && { params: { ...params } }) };
    const options = { signal, timeout: ANSWER_TIME };
    return call
      ? call.context.mcpReq.send(question as never, ANYTHING, options)
      : server.request(question as never, ANYTHING, options);
  }

  #heard(
    session: UpstreamSession,
    client: LastingClient | undefined,
    method: string,
    params: Fields | undefined,
    call: DownstreamCall | undefined,
  ): void {
    if (method.endsWith("/list_changed")) return this.ears?.listChanged(session, method);
    if (method === "notifications/resources/updated") return this.ears?.resourceUpdated(session, params ?? {}, client);
    if (method === "notifications/message" && !wouldHear(call, client, params)) return undefined;
    const notification = { method, params: withSource(params, session) } as never;
    // Without a request or a client it is nobody's, and what is nobody's might be somebody else's.
    const telling = call ? call.context.mcpReq.notify(notification) : client?.server.notification(notification);
    telling?.catch((error: unknown) => this.#log.debug(`A client was not told: ${String(error)}`));
    return undefined;
  }
}

function partitionOf(sessionId: string | undefined): string {
  return sessionId === undefined ? "" : SESSION + sessionId;
}
