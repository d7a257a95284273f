import { describeError, milliseconds, type Clock, type Log, type Pool } from "@davpool/core";
import type { ListKind, Listed, McpWire, UpstreamSession } from "@davpool/transport-mcp";
import { ProtocolError, ProtocolErrorCode, type CallToolResult } from "@modelcontextprotocol/server";
import type { ChangeListener } from "../extension.ts";
import { mirroredHeaders } from "../mirrored-parameters.ts";
import type { Access } from "../identity/access.ts";
import { prefixed, unchanged, type Addresses } from "./addresses.ts";
import type { LastingClient } from "../lasting-client.ts";
import type { Clients, PoolEars } from "./clients.ts";
import type { DownstreamCall } from "./downstream-call.ts";
import { UPSTREAM_UNAVAILABLE } from "./errors.ts";
import { forward } from "./forward.ts";
import { withAddresses } from "./links.ts";
import { withSource, type Fields } from "./messages.ts";
import { Names, shownPrefix } from "./names.ts";
import {
  promptOffers,
  resourcesOf,
  templatesOf,
  toolOffers,
  type Appearance,
  type Offer,
  type ToolOffer,
} from "./offers.ts";
import type { GatewaySection } from "./section.ts";
import { Subscriptions } from "./subscriptions.ts";
import { SuspendedCalls } from "./suspended.ts";
import { Upstream } from "./upstream.ts";

/** Milliseconds that the first list waits for servers. Who comes later is told of by a change of the list. */
const FIRST_PATIENCE = 2_000;
/** Milliseconds that a call waits for servers of its pool that have not said yet what they offer. */
const PATIENCE = 10_000;

/** The client at the other end of the pipes, in the table of subscriptions. */
const SOLE = "";
/** Streams of 2026-07-28, in the table of subscriptions. */
const LISTENERS = Symbol("listeners");

export interface GatewayParts {
  readonly clients: Clients;
  readonly clock: Clock;
  readonly log: Log;
  /** Told when a list has changed. */
  readonly listChanged: ChangeListener["listChanged"];
  /** Told when a resource has changed, with whom of those who want to know it concerns. */
  readonly resourceChanged: (uri: string, concerns: (client: LastingClient) => boolean) => void;
}

export interface GatewayPool {
  readonly pool: Pool<McpWire>;
  /** Milliseconds that its calls may take. */
  readonly deadline: number;
}

/** Which pools there are, and how they appear. */
export interface GatewaySetting {
  /** Pools of MCP servers, in the order of the configuration. */
  readonly pools: readonly GatewayPool[];
  /** There are pools of other kinds. */
  readonly others: boolean;
  readonly section: GatewaySection | undefined;
}

interface Tables {
  readonly tools: ReadonlyMap<string, ToolOffer>;
  readonly prompts: ReadonlyMap<string, Offer>;
}

/**
 * Many MCP servers behind one: what the servers of each pool offer appears under names of the pool's, and what clients
 * send goes on to the servers that have it. Names are looked up in a table, and never taken apart.
 */
export class Gateway implements Disposable {
  readonly #parts: GatewayParts;
  readonly #suspended: SuspendedCalls;
  readonly #subscriptions = new Subscriptions();
  #upstreams: ReadonlyMap<string, Upstream> = new Map();
  #appearances: ReadonlyMap<string, Appearance> = new Map();
  #tables: Tables | undefined;
  #asked: Promise<unknown> = Promise.resolve();
  #ready = true;
  /** Called when what is offered has changed. */
  readonly #waiting = new Set<() => void>();

  constructor(parts: GatewayParts) {
    this.#parts = parts;
    this.#suspended = new SuspendedCalls(parts.clock);
    parts.clients.ears = this.#ears();
  }

  /** Nothing to offer, so nothing to say. */
  get empty(): boolean {
    return this.#upstreams.size === 0;
  }

  /** Takes pools and settings into use. What is known of pools that stay is kept. */
  apply({ pools, others, section }: GatewaySetting): void {
    const { clock, log } = this.#parts;
    const upstreams = new Map(
      pools.map(({ pool, deadline }): [string, Upstream] => {
        const known = this.#upstreams.get(pool.name);
        const upstream =
          known?.pool === pool ? known : new Upstream({ pool, clock, log, changed: (kind) => this.#changed(kind) });
        upstream.deadline = deadline;
        upstream.longestCall = milliseconds(section?.longestCall ?? "10m");
        return [pool.name, upstream];
      }),
    );
    for (const [name, upstream] of this.#upstreams) if (upstreams.get(name) !== upstream) upstream[Symbol.dispose]();
    const alone = pools.length === 1 && !others && section?.namespace !== "always";
    const schemes = new Set<string>();
    this.#upstreams = upstreams;
    this.#appearances = new Map(
      pools.map(({ pool: { name } }): [string, Appearance] => [
        name,
        {
          prefix: alone ? undefined : name,
          addresses: alone ? unchanged : prefixed(name, schemes),
          tools: section?.pools?.[name]?.tools ?? {},
          trustHints: section?.pools?.[name]?.trustHints ?? false,
        },
      ]),
    );
    this.#tables = undefined;
    this.#ready = false;
    const asked = this.#firstAnswers();
    this.#asked = asked;
    void asked.then(() => (this.#ready = this.#asked === asked));
  }

  /** Resolves when every server has said what it offers, or has had time enough to. */
  get asked(): Promise<unknown> {
    return this.#asked;
  }

  /** {@link Gateway.asked} has resolved. */
  get ready(): boolean {
    return this.#ready;
  }

  get tools(): ReadonlyMap<string, ToolOffer> {
    return this.#known().tools;
  }

  prompts(access: Access): readonly Listed[] {
    return [...this.#known().prompts].flatMap(([name, { upstream, definition }]) =>
      access.allowsPrompt(name, upstream.name) ? [definition] : [],
    );
  }

  resources(access: Access): readonly Listed[] {
    return this.#visible(access).flatMap(([upstream, appearance]) =>
      resourcesOf(upstream, appearance).filter(({ uri }) => access.allowsResource(String(uri), upstream.name)),
    );
  }

  templates(access: Access): readonly Listed[] {
    return this.#visible(access).flatMap(([upstream, appearance]) =>
      templatesOf(upstream, appearance).filter(({ uriTemplate }) =>
        access.allowsTemplate(String(uriTemplate), upstream.name),
      ),
    );
  }

  /** The tool of this name, also if its servers have come up only just now. */
  async findTool(name: string): Promise<ToolOffer | undefined> {
    await this.#look(name, () => this.tools.has(name));
    return this.tools.get(name);
  }

  /**
   * Why a name may be missing: pools that it may be of, with servers that have not said yet what they offer. The caller's
   * own, as the others are none of its business.
   */
  missing(name: string, access: Access): ProtocolError | undefined {
    const silent = this.#mayHave(name).flatMap((pool) => (access.allowsPool(pool.name) ? pool.name : []));
    if (silent.length === 0) return undefined;
    const reports = silent.map((name) => {
      const servers = this.#upstreams.get(name)?.pool.list() ?? [];
      return {
        pool: name,
        servers: servers.map(({ serverId, health }) => ({ serverId, status: health.status })),
      };
    });
    return new ProtocolError(
      UPSTREAM_UNAVAILABLE,
      `Servers of ${silent.map((name) => `pool "${name}"`).join(" and ")} have not said yet what they offer; they may be down. Try again later.`,
      { code: "NO_SERVER_AVAILABLE", pools: reports },
    );
  }

  async callTool(tool: ToolOffer, written: unknown, call: DownstreamCall): Promise<Fields> {
    const { upstream, original, annotations, mirrored } = tool;
    const servers = upstream.holders("tools", original)?.servers;
    const result = await forward(
      upstream,
      {
        method: "tools/call",
        params: { name: original, ...(written !== undefined && { arguments: written }) },
        ...(annotations && { annotations }),
        ...(servers && { servers }),
        ...(mirrored.length > 0 && { headers: mirroredHeaders(mirrored, written) }),
      },
      call,
      this.#suspended,
    );
    return asObject(this.#shown(upstream, result), call);
  }

  /** @throws ProtocolError for a prompt that is not there for the caller. */
  async getPrompt(params: Fields, access: Access, call: DownstreamCall): Promise<Fields> {
    const { upstream, original } = await this.#findPrompt(String(params["name"]), access);
    const servers = upstream.holders("prompts", original)?.servers;
    const request = { ...params, name: original };
    const result = await forward(
      upstream,
      { method: "prompts/get", params: request, ...(servers && { servers }) },
      call,
      this.#suspended,
    );
    return this.#shown(upstream, result);
  }

  /** Whether it is an address of these pools, as far as its form tells. */
  hasResource(uri: string, access: Access): boolean {
    return this.#resolve(uri, access) !== undefined;
  }

  /** @throws ProtocolError for what is no address of the caller's pools. */
  async readResource(uri: string, access: Access, call: DownstreamCall): Promise<Fields> {
    const { upstream, original, servers } = this.#resource(uri, access);
    const request = { method: "resources/read" as const, params: { uri: original }, ...(servers && { servers }) };
    return this.#shown(upstream, await forward(upstream, request, call, this.#suspended));
  }

  /** @throws ProtocolError for what is no address of the caller's pools. */
  async subscribe(uri: string, access: Access, call: DownstreamCall): Promise<Fields> {
    const { upstream, original, servers } = this.#resource(uri, access);
    if (!call.client)
      throw new ProtocolError(ProtocolErrorCode.InvalidRequest, "Whoever wants to hear of a resource needs a session.");
    const request = { method: "resources/subscribe" as const, params: { uri: original }, ...(servers && { servers }) };
    const result = await forward(upstream, request, call, this.#suspended);
    if (!call.client.gone) this.#subscriptions.add(upstream.name, original, call.caller.session ?? SOLE);
    return result;
  }

  /** @throws ProtocolError for what is no address of the caller's pools. */
  async unsubscribe(uri: string, access: Access, call: DownstreamCall): Promise<Fields> {
    const { upstream, original, servers } = this.#resource(uri, access);
    const { session } = call.caller;
    const last = this.#subscriptions.remove(upstream.name, original, session ?? SOLE);
    // What it shares with others, others may still want.
    if (!last && !this.#parts.clients.hasOwn(session, upstream.name)) return {};
    const request = {
      method: "resources/unsubscribe" as const,
      params: { uri: original },
      ...(servers && { servers }),
    };
    return forward(upstream, request, call, this.#suspended);
  }

  /**
   * Hears of resources for a client of 2026-07-28, for as long as its stream is open: over the session that all share, as
   * such a client has none that would last.
   * @param uris as clients know them, of those that {@link Gateway.hasResource}.
   */
  listen(uris: readonly string[], access: Access): Disposable {
    const found = uris.flatMap((uri) => this.#resolve(uri, access) ?? []);
    const tell = ({ pool, name }: Upstream, method: "resources/subscribe" | "resources/unsubscribe", uri: string) => {
      pool
        .execute({ method, params: { uri } })
        .catch((error: unknown) =>
          this.#parts.log.debug(`A server did not take note of ${method}: ${describeError(error)}`, { pool: name }),
        );
    };
    for (const { upstream, original } of found) {
      this.#subscriptions.add(upstream.name, original, LISTENERS);
      tell(upstream, "resources/subscribe", original);
    }
    return {
      [Symbol.dispose]: () => {
        for (const { upstream, original } of found)
          if (this.#subscriptions.remove(upstream.name, original, LISTENERS))
            tell(upstream, "resources/unsubscribe", original);
      },
    };
  }

  /** @throws ProtocolError for a reference to what is not there for the caller. */
  async complete(params: Fields, access: Access, call: DownstreamCall): Promise<Fields> {
    const reference = params["ref"] as { readonly type: string; readonly name?: string; readonly uri?: string };
    const { upstream, original, field } =
      reference.type === "ref/prompt"
        ? { ...(await this.#findPrompt(String(reference.name), access)), field: "name" }
        : { ...this.#resource(String(reference.uri), access, "Template"), field: "uri" };
    const request = { ...params, ref: { ...reference, [field]: original } };
    return forward(upstream, { method: "completion/complete", params: request }, call, this.#suspended);
  }

  /** A session of a client's has ended: what was kept for it is let go. */
  async released(sessionId: string, principal: string | undefined): Promise<void> {
    const caller = { session: sessionId, ...(principal !== undefined && { principal }) };
    // What is under way for it may still open connections.
    await this.#parts.clients.forget(sessionId);
    this.#subscriptions.forget(sessionId);
    await Promise.all([...this.#upstreams.values()].map(({ pool }) => pool.release(caller)));
  }

  [Symbol.dispose](): void {
    for (const upstream of this.#upstreams.values()) upstream[Symbol.dispose]();
  }

  #known(): Tables {
    return (this.#tables ??= this.#makeTables());
  }

  #makeTables(): Tables {
    const [toolNames, promptNames] = [new Names(), new Names()];
    const tools = new Map<string, ToolOffer>();
    const prompts = new Map<string, Offer>();
    for (const [name, upstream] of this.#upstreams) {
      const appearance = this.#appearances.get(name) as Appearance;
      try {
        for (const tool of toolOffers(upstream, appearance, toolNames)) tools.set(tool.name, tool);
        for (const [shown, prompt] of promptOffers(upstream, appearance, promptNames)) prompts.set(shown, prompt);
      } catch (error) {
        // What one pool offers spoils no other's list.
        this.#parts.log.error(`What a pool offers cannot be shown: ${describeError(error)}`, { pool: name });
      }
    }
    return { tools, prompts };
  }

  async #firstAnswers(): Promise<void> {
    const time = Promise.withResolvers<void>();
    const limit = this.#parts.clock.after(FIRST_PATIENCE, time.resolve, { background: true });
    await Promise.race([Promise.all([...this.#upstreams.values()].map(({ asked }) => asked)), time.promise]);
    limit[Symbol.dispose]();
    for (const upstream of this.#upstreams.values()) reportConnections(upstream, this.#parts.log);
  }

  /** Asks the pools that a name may be of, until it is known, or they have all answered, or time is up. */
  async #look(name: string, known: () => boolean): Promise<void> {
    if (known()) return;
    const silent = this.#mayHave(name);
    if (silent.length === 0) return;
    const over = Promise.withResolvers<void>();
    const limit = this.#parts.clock.after(PATIENCE, over.resolve, { background: true });
    const look = () => known() && over.resolve();
    this.#waiting.add(look);
    await Promise.race([Promise.all(silent.map((upstream) => upstream.look())), over.promise]);
    this.#waiting.delete(look);
    limit[Symbol.dispose]();
  }

  /** Pools that a name may be of, with servers that have not said yet what they offer. */
  #mayHave(name: string): readonly Upstream[] {
    return [...this.#upstreams.values()].filter((upstream) => {
      const prefix = this.#appearances.get(upstream.name)?.prefix;
      return upstream.incomplete && (prefix === undefined || name.startsWith(shownPrefix(prefix)));
    });
  }

  #changed(kind: ListKind): void {
    this.#tables = undefined;
    for (const look of this.#waiting) look();
    this.#parts.listChanged(kind === "resourceTemplates" ? "resources" : kind);
  }

  #visible(access: Access): readonly (readonly [Upstream, Appearance])[] {
    return [...this.#upstreams].flatMap(([name, upstream]) =>
      access.allowsPool(name) ? [[upstream, this.#appearances.get(name) as Appearance] as const] : [],
    );
  }

  async #findPrompt(name: string, access: Access): Promise<Offer> {
    await this.#look(name, () => this.#known().prompts.has(name));
    const prompt = this.#known().prompts.get(name);
    if (prompt && access.allowsPrompt(name, prompt.upstream.name)) return prompt;
    const names = this.prompts(access).map((entry) => String(entry["name"]));
    throw (
      this.missing(name, access) ??
      new ProtocolError(
        ProtocolErrorCode.InvalidParams,
        `There is no prompt "${name}". Prompts: ${names.join(", ") || "none"}.`,
      )
    );
  }

  /** @param kind of a template it counts whether some address that comes out of it is there for the caller. */
  #resolve(
    uri: string,
    access: Access,
    kind: "Resource" | "Template" = "Resource",
  ): { readonly upstream: Upstream; readonly original: string } | undefined {
    for (const [upstream, { addresses }] of this.#visible(access)) {
      const original = addresses.original(uri);
      if (original !== undefined && access[`allows${kind}`](uri, upstream.name)) return { upstream, original };
    }
    return undefined;
  }

  #resource(uri: string, access: Access, kind?: "Template") {
    const found = this.#resolve(uri, access, kind);
    if (!found)
      throw new ProtocolError(
        ProtocolErrorCode.InvalidParams,
        `There is no resource "${uri}". See resources/list and resources/templates/list for those there are.`,
      );
    // Templates lead to resources that no list has.
    const servers = found.upstream.holders("resources", found.original)?.servers;
    return { ...found, servers };
  }

  #shown({ name }: Upstream, result: Fields): Fields {
    const addresses: Addresses = this.#appearances.get(name)?.addresses ?? unchanged;
    return addresses === unchanged ? result : withAddresses(result, addresses);
  }

  #ears(): PoolEars {
    const addresses = (pool: string) => this.#appearances.get(pool)?.addresses ?? unchanged;
    const updated = (session: UpstreamSession, params: Fields, client: LastingClient | undefined) => {
      const uri = addresses(session.pool).shown(String(params["uri"]));
      // What all share says nothing to those who have a session of their own.
      if (!client)
        return this.#parts.resourceChanged(uri, ({ server }) => {
          const { sessionId } = server.transport ?? {};
          return !this.#parts.clients.hasOwn(sessionId, session.pool);
        });
      const notification = {
        method: "notifications/resources/updated",
        params: { ...withSource(params, session), uri },
      };
      client.server.notification(notification as never).catch(() => {});
      return undefined;
    };
    return {
      began: ({ pool, partition, serverId }) => {
        if (partition === "") this.#upstreams.get(pool)?.began(serverId);
      },
      listChanged: ({ pool, serverId }, method) => this.#upstreams.get(pool)?.notified(serverId, method),
      resourceUpdated: updated,
      originalUris: (pool, client) =>
        client
          ? [...client.wanted].flatMap((uri) => addresses(pool).original(uri) ?? [])
          : this.#subscriptions.of(pool, LISTENERS),
    };
  }
}

/** Says how many servers of a pool are there, and which are not. */
function reportConnections({ pool, silent }: Upstream, log: Log): void {
  const enabled = pool.list().filter((server) => server.enabled);
  const missing = enabled.filter(({ serverId }) => silent.includes(serverId)).map(({ serverId }) => serverId);
  const connected = enabled.length - missing.length;
  const fields = { pool: pool.name, connected, missing };
  const counted = `${connected} of ${enabled.length} servers of pool "${pool.name}"`;
  if (missing.length === 0) log.info(`Connected to ${counted}.`, fields);
  else if (connected > 0) log.warn(`Connected to ${counted}; not to ${missing.join(", ")} yet.`, fields);
  else if (enabled.length > 0)
    log.error(`Connected to none of the servers of pool "${pool.name}": ${missing.join(", ")}.`, fields);
}

/** What a tool answers: to a client of a 2025 protocol `structuredContent` is an object, or it refuses the answer. */
function asObject(result: Fields, { server, modern }: DownstreamCall): Fields {
  const { structuredContent: value } = result;
  if (modern || value === undefined || (typeof value === "object" && value !== null && !Array.isArray(value)))
    return result;
  return server.projectCallToolResult(result as CallToolResult, undefined);
}
