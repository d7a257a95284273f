import { DavpoolError, describeError, version, type Clock, type Log } from "@davpool/core";
import {
  ProtocolError,
  ProtocolErrorCode,
  Server,
  type CallToolResult,
  type ServerContext,
} from "@modelcontextprotocol/server";
import type { ChangeListener, Extension, ExtensionTool } from "./extension.ts";
import type { Clients } from "./gateway/clients.ts";
import type { LastingClient } from "./lasting-client.ts";
import type { DownstreamCall } from "./gateway/downstream-call.ts";
import { Gateway, type GatewaySetting } from "./gateway/gateway.ts";
import type { ToolOffer } from "./gateway/offers.ts";
import { mirroredParameters, type MirroredParameter } from "./mirrored-parameters.ts";
import { fullAccess, refusal, type Access } from "./identity/access.ts";
import { PipeShortcuts } from "./pipe-shortcuts.ts";
import type { PipeTransport } from "./pipe-transport.ts";
import { accessOf, callerOf, isModern } from "./request-context.ts";
import type { PoolResources } from "./resources.ts";
import { observeRequest } from "./telemetry/observe-request.ts";
import { callTool, type CallRules } from "./tools/call-tool.ts";
import type { Tool } from "./tools/tool.ts";

/** What a model is told of the tools, by what there is. */
const ABOUT_FILES =
  "Several WebDAV servers behave as one file store. Send requests without serverId and the pool picks a server and fails over; look at dav_list_servers when something seems wrong.";
const ABOUT_SERVERS =
  "Tools of other MCP servers have the name of their pool in front. Where several servers stand behind one name, they stand in for each other. Error -32003 means that none of them answered; when its code is OUTCOME_UNKNOWN, look at the current state before you repeat the call.";

/** What one kind of connection brings along. */
export interface Hosting extends CallRules {
  /** `pipe` is standard input and output, `tcp` is HTTP. */
  readonly transport: "pipe" | "tcp";
  /** What a call gives, or has given so far, that began where it came in and is handed over now. */
  readonly begun?: (context: ServerContext) => Promise<object> | object | undefined;
}

/** What changes when the configuration does. */
export interface McpContents {
  readonly tools: readonly Tool[];
  readonly resources: PoolResources;
  readonly gateway: GatewaySetting;
}

export interface McpServersParts extends McpContents {
  /** Those who stand behind the sessions with servers of MCP pools. */
  readonly clients: Clients;
  readonly clock: Clock;
  readonly extension?: Extension | undefined;
  readonly log: Log;
}

/** The other end of one connection, or of one request where no connection lasts. */
interface ClientConnection {
  readonly server: Server;
  readonly hosting: Hosting;
  /** The client, if it stays. */
  readonly client: LastingClient | undefined;
}

interface Listing {
  readonly definition: object & { readonly name?: unknown };
}

const LISTS = ["tools", "resources", "prompts"] as const;

/** A list as it goes out, which is the same for everybody who may do the same. */
type ToolList = { readonly tools: readonly object[] };

/** Whether a client has said that it speaks a protocol of 2025 or before. */
function isOf2025(server: Server): boolean {
  const version = server.getNegotiatedProtocolVersion();
  return version !== undefined && version < MODERN;
}

/** The first protocol without sessions. */
const MODERN = "2026-07-28";

/** `UNEXPECTED_EXTENSION`: two tools have one name. */
class DuplicateToolError extends DavpoolError {
  constructor(name: string) {
    super("DUPLICATE_TOOL", `There are two tools "${name}". Give the extension's another name.`);
  }
}

/**
 * Makes the protocol servers of connections over one table of tools and resources. Each connection gets a server of
 * its own, because one server must not be shared between clients; tables and lists are made once.
 */
export class McpServers implements Disposable {
  readonly #log: Log;
  readonly #extension: Extension | undefined;
  #resources: PoolResources;
  #tools!: ReadonlyMap<string, Tool>;
  #extensionTools!: ReadonlyMap<string, ExtensionTool>;
  #mirrored!: ReadonlyMap<string, readonly MirroredParameter[]>;
  #lists = new WeakMap<Access, ToolList>();
  #text: { readonly list: ToolList; readonly json: string } | undefined;
  #watch: Disposable;
  readonly #clients: Clients;
  /** The connection over pipes, of which there is one at most. */
  #piped: ClientConnection | undefined;
  readonly #gateway: Gateway;
  /** Those that stay, and can be told of changes. */
  readonly #live = new Set<LastingClient>();
  readonly #releasing = new Set<Promise<void>>();
  /** Told of changes as well: hosts that keep no server between requests. */
  readonly #listeners = new Set<ChangeListener>();
  readonly #extensionWatch: Disposable | undefined;

  /** @throws DuplicateToolError */
  constructor({ tools, resources, gateway, clients, extension, clock, log }: McpServersParts) {
    this.#log = log;
    this.#extension = extension;
    this.#clients = clients;
    this.#gateway = new Gateway({
      clients,
      clock,
      log,
      listChanged: (list) => {
        if (list === "tools") this.#lists = new WeakMap();
        this.#listChanged(list);
      },
      resourceChanged: (uri, concerns) => this.#resourceChanged(uri, concerns),
    });
    this.#gateway.apply(gateway);
    this.#resources = resources;
    this.#watch = resources.watch((uri) => this.#resourceChanged(uri));
    this.#setTools(tools);
    this.#extensionWatch = extension?.watch?.({
      listChanged: (list) => this.#listChanged(list),
      resourceChanged: (uri) => this.#resourceChanged(uri),
    });
  }

  /** Takes other tools and resources into use, and tells clients. Calls under way end with what they began with. */
  replace({ tools, resources, gateway }: McpContents): void {
    this.#gateway.apply(gateway);
    this.#setTools(tools);
    this.#watch[Symbol.dispose]();
    this.#resources = resources;
    this.#watch = resources.watch((uri) => this.#resourceChanged(uri));
    for (const list of this.#gateway.empty ? LISTS.slice(0, 2) : LISTS) this.#listChanged(list);
  }

  /** The arguments of a tool that clients repeat in headers; tools of the pools have none. */
  mirrored(tool: string, access: Access): readonly MirroredParameter[] {
    const own = access === fullAccess ? this.#mirrored.get(tool) : undefined;
    return own ?? this.#gateway.tools.get(tool)?.mirrored ?? [];
  }

  /**
   * The list of tools as JSON, as the protocols of 2025 have it; undefined while servers have not said yet what they
   * offer. That for those who may do everything is kept.
   */
  listText(access: Access): string | undefined {
    if (!this.#gateway.ready) return undefined;
    const list = this.#list(access);
    if (access !== fullAccess) return JSON.stringify(list);
    if (this.#text?.list !== list) this.#text = { list, json: JSON.stringify(list) };
    return this.#text.json;
  }

  /** The tool of this server's own that has this name for the caller. */
  ownTool(name: string, access: Access): Tool | undefined {
    const tool = this.#tools.get(name);
    return tool && refusal(access, { tool: name, pool: tool.pool, safe: tool.mayRead }) === undefined
      ? tool
      : undefined;
  }

  /** Answers what it can where it comes in, for the one client at the other end of these pipes. */
  shorten(transport: PipeTransport): PipeShortcuts {
    const connection = () => this.#piped as ClientConnection;
    const shortcuts = new PipeShortcuts(
      {
        client: () => (this.#piped && isOf2025(this.#piped.server) ? this.#piped.server : undefined),
        list: () => this.listText(fullAccess),
        tool: (name) => (this.#isOwn(name) ? undefined : this.#gateway.tools.get(name)),
        listen: (uris) => this.listen(uris, fullAccess),
        call: (tool, written, context) =>
          this.#gateway.callTool(tool, written, this.#downstream(context, connection())),
        observed: (context, tool, run) => observed(connection(), context, tool, run),
      },
      transport,
    );
    transport.first = shortcuts.take;
    return shortcuts;
  }

  /** Whether there is such a resource for the caller, as far as its address tells. */
  hasResource(uri: string, access: Access): boolean {
    return this.#gateway.hasResource(uri, access) || this.#resources.has(uri, access);
  }

  /** Hears of these resources, for a stream of 2026-07-28, until it is disposed of. */
  listen(uris: readonly string[], access: Access): Disposable {
    return this.#gateway.listen(uris, access);
  }

  /** A client's session has ended. */
  sessionEnded(sessionId: string, principal: string | undefined): void {
    const releasing = this.#gateway
      .released(sessionId, principal)
      .catch((error: unknown) =>
        this.#log.warn(`What was kept for a session could not be let go: ${describeError(error)}`),
      )
      .finally(() => this.#releasing.delete(releasing));
    this.#releasing.add(releasing);
  }

  /** Resolves when nothing is kept any more for sessions that have ended by now. */
  async released(): Promise<void> {
    await Promise.all(this.#releasing);
  }

  onChange(listener: ChangeListener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /**
   * A server for one connection, or for one request where no connection lasts.
   * @param client whoever stays at the other end, and is told of changes.
   */
  create(hosting: Hosting, client: LastingClient | undefined): Server {
    const gateway = this.#gateway;
    const server = new Server(
      { name: "davpool", version },
      {
        capabilities: {
          tools: { listChanged: true },
          resources: { subscribe: true, listChanged: true },
          ...(!gateway.empty && { prompts: { listChanged: true }, logging: {}, completions: {} }),
          ...this.#extension?.capabilities,
        },
        instructions: [this.#tools.size > 0 && ABOUT_FILES, !gateway.empty && ABOUT_SERVERS].filter(Boolean).join(" "),
      },
    );
    const connection: ClientConnection = { server, hosting, client };
    server.setRequestHandler("tools/list", (_request, context) =>
      observed(connection, context, undefined, async () => {
        await gateway.asked;
        return this.#list(accessOf(context)) as never;
      }),
    );
    server.setRequestHandler("tools/call", ({ params }, context) => {
      const { name } = params;
      const known = this.#tools.has(name) || gateway.tools.has(name) || this.#extensionTools.has(name);
      const begun = hosting.begun?.(context);
      if (begun) return begun as CallToolResult;
      return observed(connection, context, known ? name : undefined, () =>
        this.#call(name, params.arguments, context, connection),
      );
    });
    server.setRequestHandler("resources/list", (_request, context) =>
      observed(connection, context, undefined, async () => {
        await gateway.asked;
        const access = accessOf(context);
        return { resources: [...this.#resources.list(access), ...gateway.resources(access)] } as never;
      }),
    );
    server.setRequestHandler("resources/templates/list", async (_request, context) => {
      await gateway.asked;
      return { resourceTemplates: [...gateway.templates(accessOf(context))] } as never;
    });
    server.setRequestHandler("resources/read", ({ params }, context) =>
      observed(connection, context, undefined, () => {
        const access = accessOf(context);
        return gateway.hasResource(params.uri, access)
          ? (gateway.readResource(params.uri, access, this.#downstream(context, connection)) as never)
          : this.#resources.read(params.uri, access);
      }),
    );
    server.setRequestHandler("resources/subscribe", async ({ params: { uri } }, context) => {
      const access = accessOf(context);
      if (gateway.hasResource(uri, access)) await gateway.subscribe(uri, access, this.#downstream(context, connection));
      else this.#resources.check(uri, access);
      client?.wanted.add(uri);
      return {};
    });
    server.setRequestHandler("resources/unsubscribe", async ({ params: { uri } }, context) => {
      const access = accessOf(context);
      client?.wanted.delete(uri);
      if (gateway.hasResource(uri, access))
        await gateway.unsubscribe(uri, access, this.#downstream(context, connection));
      return {};
    });
    if (!gateway.empty) this.#connectGateway(connection);
    this.#extension?.connect?.(server);
    if (client) {
      client.server = server;
      this.#live.add(client);
      if (hosting.transport === "pipe") {
        this.#clients.connected(client);
        this.#piped = connection;
      }
      server.onclose = () => {
        // A repaired session has another one.
        if (client.server === server) this.#live.delete(client);
      };
    }
    return server;
  }

  [Symbol.dispose](): void {
    this.#watch[Symbol.dispose]();
    this.#extensionWatch?.[Symbol.dispose]();
    this.#gateway[Symbol.dispose]();
    this.#live.clear();
  }

  /** What only servers of MCP pools answer. */
  #connectGateway(connection: ClientConnection): void {
    const gateway = this.#gateway;
    const { server, client } = connection;
    server.setRequestHandler("prompts/list", async (_request, context) => {
      await gateway.asked;
      return { prompts: [...gateway.prompts(accessOf(context))] } as never;
    });
    server.setRequestHandler("prompts/get", ({ params }, context) =>
      observed(
        connection,
        context,
        undefined,
        () => gateway.getPrompt(params, accessOf(context), this.#downstream(context, connection)) as never,
      ),
    );
    server.setRequestHandler(
      "completion/complete",
      ({ params }, context) =>
        gateway.complete(params, accessOf(context), this.#downstream(context, connection)) as never,
    );
    server.setRequestHandler("logging/setLevel", ({ params: { level } }, { sessionId }) => {
      if (client) this.#clients.setLevel(sessionId, client, level);
      return {};
    });
    server.setNotificationHandler("notifications/roots/list_changed", ({ method }) => {
      this.#clients.tell(server.transport?.sessionId, method, undefined);
    });
  }

  #setTools(tools: readonly Tool[]): void {
    const extensions = this.#extension?.tools ?? [];
    const byName = new Map(tools.map((tool) => [tool.name, tool]));
    for (const { definition } of extensions)
      if (byName.has(definition.name)) throw new DuplicateToolError(definition.name);
    this.#tools = byName;
    this.#extensionTools = new Map(extensions.map((tool) => [tool.definition.name, tool]));
    this.#mirrored = new Map(
      extensions.map(({ definition: { name, inputSchema } }) => [name, mirroredParameters(inputSchema)]),
    );
    this.#lists = new WeakMap();
  }

  #list(access: Access): ToolList {
    let list = this.#lists.get(access);
    if (!list) this.#lists.set(access, (list = { tools: this.#visible(access).map(({ definition }) => definition) }));
    return list;
  }

  /** Names of this server's own tools are nobody else's. */
  #isOwn(name: string): boolean {
    return this.#tools.has(name) || this.#extensionTools.has(name);
  }

  #visible(access: Access): readonly Listing[] {
    const mine = [...this.#tools.values()].filter(
      (tool) => refusal(access, { tool: tool.name, pool: tool.pool, safe: tool.mayRead }) === undefined,
    );
    const theirs = [...this.#gateway.tools.values()].filter(
      (offer) => !this.#isOwn(offer.name) && refusal(access, useOf(offer)) === undefined,
    );
    // What is not a pool's is for those who may do everything.
    const more = access === fullAccess ? this.#extensionTools.values() : [];
    return [...mine, ...theirs, ...more];
  }

  async #call(name: string, written: unknown, context: ServerContext, connection: ClientConnection) {
    const access = accessOf(context);
    const tool = this.ownTool(name, access);
    if (tool) {
      const call = { signal: context.mcpReq.signal, caller: callerOf(context), access };
      return callTool(tool, written, call, connection.hosting, this.#log);
    }
    const extra = access === fullAccess ? this.#extensionTools.get(name) : undefined;
    if (extra) return extra.run(written, context);
    const offer = this.#isOwn(name) ? undefined : await this.#gateway.findTool(name);
    if (offer && refusal(access, useOf(offer)) === undefined)
      // What it answers is its own affair, also as the protocol's own errors.
      return (await this.#gateway.callTool(offer, written, this.#downstream(context, connection))) as CallToolResult;
    const missing = this.#gateway.missing(name, access);
    if (missing) throw missing;
    const names = this.#visible(access).map((visible) => visible.definition["name"]);
    throw new ProtocolError(
      ProtocolErrorCode.InvalidParams,
      `There is no tool "${name}". Tools: ${names.join(", ") || "none"}.`,
    );
  }

  #downstream(context: ServerContext, { server, client, hosting }: ClientConnection): DownstreamCall {
    const { sessionId } = context;
    if (client && sessionId !== undefined) this.#clients.seen(sessionId, client);
    return { server, context, caller: callerOf(context), client, modern: isModern(context), limit: hosting.limit };
  }

  #listChanged(list: "tools" | "resources" | "prompts"): void {
    for (const listener of this.#listeners) listener.listChanged(list);
    const method = `notifications/${list}/list_changed` as const;
    for (const { server } of this.#live) this.#tell(server.notification({ method }));
  }

  #resourceChanged(uri: string, concerns: (client: LastingClient) => boolean = () => true): void {
    for (const listener of this.#listeners) listener.resourceChanged(uri);
    for (const client of this.#live)
      if (client.wanted.has(uri) && concerns(client)) this.#tell(client.server.sendResourceUpdated({ uri }));
  }

  /** A client that has gone cannot be told, and need not be. */
  #tell(sending: Promise<void>): void {
    sending.catch((error: unknown) => this.#log.debug(`A client was not told: ${describeError(error)}`));
  }
}

function useOf({ name, upstream, annotations }: ToolOffer) {
  return { tool: name, pool: upstream.name, safe: annotations?.readOnlyHint === true };
}

function observed<T>(
  { server, hosting: { transport } }: ClientConnection,
  { mcpReq, sessionId }: ServerContext,
  toolName: string | undefined,
  run: () => T | Promise<T>,
): Promise<T> {
  const protocolVersion = server.getNegotiatedProtocolVersion();
  return observeRequest(
    {
      method: mcpReq.method,
      requestId: mcpReq.id,
      transport,
      ...(toolName !== undefined && { toolName }),
      ...(sessionId !== undefined && { sessionId }),
      ...(protocolVersion !== undefined && { protocolVersion }),
      ...(mcpReq._meta && { meta: mcpReq._meta }),
    },
    run,
  );
}
