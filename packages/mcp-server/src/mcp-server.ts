import { describeError, version, type Clock, type Log } from "@davpool/core";
import {
  ProtocolError,
  ProtocolErrorCode,
  Server,
  type CallToolResult,
  type ServerContext,
} from "@modelcontextprotocol/server";
import type { ChangeListener, Extension } from "./extension.ts";
import type { Clients } from "./gateway/clients.ts";
import type { LastingClient } from "./lasting-client.ts";
import type { DownstreamCall } from "./gateway/downstream-call.ts";
import { Gateway, type GatewaySetting } from "./gateway/gateway.ts";
import { fullAccess, type Access } from "./identity/access.ts";
import { PipeShortcuts } from "./pipe-shortcuts.ts";
import type { PipeTransport } from "./pipe-transport.ts";
import { accessOf, callerOf, isModern } from "./request-context.ts";
import type { PoolResources } from "./resources.ts";
import { observeRequest } from "./telemetry/observe-request.ts";
import { callTool, type CallRules } from "./tools/call-tool.ts";
import { ToolTable } from "./tools/tool-table.ts";
import type { Tool } from "./tools/tool.ts";

/** What a model is told of the tools, by what there is. */
const ABOUT_FILES =
  "Several WebDAV servers, which are meant to show the same files, behave as one file store. Send requests without serverId and the pool picks a server and fails over; look at dav_list_servers when something seems wrong.";
const ABOUT_SERVERS =
  "Tools of other MCP servers have the name of their pool in front. Where several servers stand behind one name, they stand in for each other. Error -32003 means that none of them answered; when its code is OUTCOME_UNKNOWN, look at the current state before you repeat the call.";

/** What one kind of connection brings along. */
export interface Hosting extends CallRules {
  /** `pipe` is standard input and output, `tcp` is HTTP. */
  readonly transport: "pipe" | "tcp";
  /** The result, or what there is of it, of a call that was begun where it came in and then handed over. */
  readonly handedOver?: (context: ServerContext) => Promise<object> | object | undefined;
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

/** Of one session. */
const MAX_SUBSCRIPTIONS = 1_000;

const LISTS = ["tools", "resources", "prompts"] as const;

/** Whether a client has said that it speaks a protocol of 2025 or before. */
function isOf2025(server: Server): boolean {
  const version = server.getNegotiatedProtocolVersion();
  return version !== undefined && version < MODERN;
}

/** The first protocol without sessions. */
const MODERN = "2026-07-28";

/**
 * Makes the protocol servers of connections over one table of tools and resources. Each connection gets a server of
 * its own, because one server must not be shared between clients; tables and lists are made once.
 */
export class McpServers implements Disposable {
  readonly #log: Log;
  readonly #extension: Extension | undefined;
  #resources: PoolResources;
  #watch: Disposable;
  readonly #clients: Clients;
  /** The connection over pipes, of which there is one at most. */
  #piped: ClientConnection | undefined;
  readonly #gateway: Gateway;
  readonly tools: ToolTable;
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
        if (list === "tools") this.tools.forgetLists();
        this.#listChanged(list);
      },
      resourceChanged: (uri, concerns) => this.#resourceChanged(uri, concerns),
    });
    this.tools = new ToolTable(this.#gateway, extension, log);
    this.#gateway.apply(gateway);
    this.#resources = resources;
    this.#watch = resources.watch((uri) => this.#resourceChanged(uri));
    this.tools.replace(tools);
    this.#extensionWatch = extension?.watch?.({
      listChanged: (list) => this.#listChanged(list),
      resourceChanged: (uri) => this.#resourceChanged(uri),
    });
  }

  /** Takes other tools and resources into use, and tells clients. Calls under way end with what they began with. */
  replace({ tools, resources, gateway }: McpContents): void {
    this.#gateway.apply(gateway);
    this.tools.replace(tools);
    this.#watch[Symbol.dispose]();
    this.#resources = resources;
    this.#watch = resources.watch((uri) => this.#resourceChanged(uri));
    for (const list of this.#gateway.empty ? LISTS.slice(0, 2) : LISTS) this.#listChanged(list);
  }

  /** Answers what it can where it comes in, for the one client at the other end of these pipes. */
  shorten(transport: PipeTransport): PipeShortcuts {
    const connection = () => this.#piped as ClientConnection;
    const shortcuts = new PipeShortcuts(
      {
        client: () => (this.#piped && isOf2025(this.#piped.server) ? this.#piped.server : undefined),
        list: () => this.tools.listText(fullAccess),
        tool: (name) => this.tools.offered(name),
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
        instructions: [!this.tools.empty && ABOUT_FILES, !gateway.empty && ABOUT_SERVERS].filter(Boolean).join(" "),
      },
    );
    const connection: ClientConnection = { server, hosting, client };
    server.setRequestHandler("tools/list", (_request, context) =>
      observed(connection, context, undefined, async () => {
        await gateway.asked;
        const access = accessOf(context);
        return (isModern(context) ? this.tools.list(access) : this.tools.olderList(access)) as never;
      }),
    );
    server.setRequestHandler("tools/call", ({ params }, context) => {
      const { name } = params;
      const handedOver = hosting.handedOver?.(context);
      if (handedOver) return handedOver as CallToolResult;
      return observed(connection, context, this.tools.has(name) ? name : undefined, () =>
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
      if (client && client.wanted.size >= MAX_SUBSCRIPTIONS && !client.wanted.has(uri))
        throw new ProtocolError(
          ProtocolErrorCode.InvalidRequest,
          `A session may have ${MAX_SUBSCRIPTIONS} subscriptions at most; end some of them first.`,
        );
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

  async #call(name: string, written: unknown, context: ServerContext, connection: ClientConnection) {
    const access = accessOf(context);
    const tool = this.tools.own(name, access);
    if (tool) {
      const call = { signal: context.mcpReq.signal, caller: callerOf(context), access };
      return callTool(tool, written, call, connection.hosting, this.#log);
    }
    const extra = this.tools.ofExtension(name, access);
    if (extra) return extra.run(written, context);
    const offer = await this.tools.findOffered(name, access);
    if (offer)
      // What it answers is its own affair, also as the protocol's own errors.
      return (await this.#gateway.callTool(offer, written, this.#downstream(context, connection))) as CallToolResult;
    const missing = this.#gateway.missing(name, access);
    if (missing) throw missing;
    throw new ProtocolError(
      ProtocolErrorCode.InvalidParams,
      `There is no tool "${name}". Tools: ${this.tools.names(access).join(", ") || "none"}.`,
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
