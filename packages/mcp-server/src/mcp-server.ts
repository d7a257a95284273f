import { DavpoolError, describeError, isDavpoolError, version, type Log } from "@davpool/core";
import {
  ProtocolError,
  ProtocolErrorCode,
  Server,
  type CallToolResult,
  type ServerContext,
} from "@modelcontextprotocol/server";
import type { ChangeListener, Extension, ExtensionTool } from "./extension.ts";
import { mirroredParameters, type MirroredParameter } from "./mirrored-parameters.ts";
import { fullAccess, refusal, type Access } from "./identity/access.ts";
import type { Principal } from "./identity/principal.ts";
import type { PoolResources } from "./resources.ts";
import type { CircuitBreaker } from "./sessions/circuit-breaker.ts";
import { observeRequest } from "./telemetry/observe-request.ts";
import type { Tool } from "./tools/tool.ts";

const INSTRUCTIONS =
  "Several WebDAV servers behave as one file store. Send requests without serverId and the pool picks a server and fails over; look at dav_list_servers when something seems wrong.";

/** What one kind of connection brings along. */
export interface Hosting {
  /** `pipe` is standard input and output, `tcp` is HTTP. */
  readonly transport: "pipe" | "tcp";
  /** Milliseconds that a call may take, if they are limited. */
  readonly limit?: number;
  /** Refuses calls of callers whose calls keep failing. */
  readonly breaker?: CircuitBreaker;
}

export interface McpServersParts {
  readonly tools: readonly Tool[];
  readonly resources: PoolResources;
  readonly extension?: Extension | undefined;
  readonly log: Log;
}

/** A list as it goes out, which is the same for everybody who may do the same. */
type ToolList = { readonly tools: readonly object[] };

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
  #watch: Disposable;
  /** Those that can be told of changes, with what each wants to hear of. */
  readonly #live = new Map<Server, Set<string>>();
  /** Told of changes as well: hosts that keep no server between requests. */
  readonly #listeners = new Set<ChangeListener>();
  readonly #extensionWatch: Disposable | undefined;

  /** @throws DuplicateToolError */
  constructor({ tools, resources, extension, log }: McpServersParts) {
    this.#log = log;
    this.#extension = extension;
    this.#resources = resources;
    this.#watch = resources.watch((uri) => this.#resourceChanged(uri));
    this.#setTools(tools);
    this.#extensionWatch = extension?.watch?.({
      listChanged: (list) => this.#listChanged(list),
      resourceChanged: (uri) => this.#resourceChanged(uri),
    });
  }

  /** Takes other tools and resources into use, and tells clients. Calls under way end with what they began with. */
  replace(tools: readonly Tool[], resources: PoolResources): void {
    this.#setTools(tools);
    this.#watch[Symbol.dispose]();
    this.#resources = resources;
    this.#watch = resources.watch((uri) => this.#resourceChanged(uri));
    this.#listChanged("tools");
    this.#listChanged("resources");
  }

  /** The arguments of a tool that clients repeat in headers; tools of the pools have none. */
  mirrored(tool: string, access: Access): readonly MirroredParameter[] {
    return (access === fullAccess && this.#mirrored.get(tool)) || [];
  }

  onChange(listener: ChangeListener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /**
   * A server for one connection, or for one request where no connection lasts.
   * @param lasting it stays, and is told of changes.
   */
  create(hosting: Hosting, lasting: boolean): Server {
    const { capabilities } = this.#extension ?? {};
    const server = new Server(
      { name: "davpool", version },
      {
        capabilities: {
          tools: { listChanged: true },
          resources: { subscribe: true, listChanged: true },
          ...capabilities,
        },
        instructions: INSTRUCTIONS,
      },
    );
    const wanted = new Set<string>();
    server.setRequestHandler("tools/list", (_request, context) =>
      observed(server, hosting, context, undefined, () => this.#list(accessOf(context)) as never),
    );
    server.setRequestHandler("tools/call", ({ params }, context) => {
      const known = this.#tools.has(params.name) || this.#extensionTools.has(params.name);
      return observed(server, hosting, context, known ? params.name : undefined, () =>
        this.#call(params.name, params.arguments, context, hosting),
      );
    });
    server.setRequestHandler("resources/list", (_request, context) =>
      observed(server, hosting, context, undefined, () => ({
        resources: [...this.#resources.list(accessOf(context))],
      })),
    );
    server.setRequestHandler("resources/templates/list", () => ({ resourceTemplates: [] }));
    server.setRequestHandler("resources/read", ({ params }, context) =>
      observed(server, hosting, context, undefined, () => this.#resources.read(params.uri, accessOf(context))),
    );
    server.setRequestHandler("resources/subscribe", ({ params }, context) => {
      this.#resources.check(params.uri, accessOf(context));
      wanted.add(params.uri);
      return {};
    });
    server.setRequestHandler("resources/unsubscribe", ({ params }) => {
      wanted.delete(params.uri);
      return {};
    });
    this.#extension?.connect?.(server);
    if (lasting) {
      this.#live.set(server, wanted);
      server.onclose = () => void this.#live.delete(server);
    }
    return server;
  }

  [Symbol.dispose](): void {
    this.#watch[Symbol.dispose]();
    this.#extensionWatch?.[Symbol.dispose]();
    this.#live.clear();
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

  #visible(access: Access): readonly (Tool | ExtensionTool)[] {
    const mine = [...this.#tools.values()].filter(
      (tool) => refusal(access, { tool: tool.name, pool: tool.pool, safe: tool.mayRead }) === undefined,
    );
    // What is not a pool's is for those who may do everything.
    return access === fullAccess ? [...mine, ...this.#extensionTools.values()] : mine;
  }

  #call(name: string, written: unknown, context: ServerContext, hosting: Hosting) {
    const access = accessOf(context);
    const tool = this.#tools.get(name);
    if (tool && refusal(access, { tool: name, pool: tool.pool, safe: tool.mayRead }) === undefined)
      return this.#callPool(tool, written, context, hosting);
    const extra = access === fullAccess ? this.#extensionTools.get(name) : undefined;
    if (extra) return extra.run(written, context);
    const names = this.#visible(access).map((visible) => visible.definition.name);
    throw new ProtocolError(
      ProtocolErrorCode.InvalidParams,
      `There is no tool "${name}". Tools: ${names.join(", ") || "none"}.`,
    );
  }

  async #callPool(
    tool: Tool,
    written: unknown,
    context: ServerContext,
    { limit, breaker }: Hosting,
  ): Promise<CallToolResult> {
    const principal = principalOf(context);
    const { sessionId } = context;
    const call = {
      signal: context.mcpReq.signal,
      caller: {
        ...(principal && { principal: principal.name }),
        ...(sessionId !== undefined && { session: sessionId }),
      },
      access: accessOf(context),
      ...(limit !== undefined && { limit }),
    };
    try {
      breaker?.enter(principal?.name);
      const { value, isError } = await tool.run(written, call);
      breaker?.ended(principal?.name, undefined);
      return result(value, isError ?? false);
    } catch (error) {
      breaker?.ended(principal?.name, error);
      if (isDavpoolError(error)) {
        const { code, message, details } = error;
        return result({ error: { code, message, ...details } }, true);
      }
      this.#log.error(`${tool.name} failed unexpectedly: ${describeError(error)}`, {
        tool: tool.name,
        stack: error instanceof Error ? error.stack : undefined,
      });
      return result({ error: { code: "INTERNAL", message: `${tool.name} failed: ${describeError(error)}` } }, true);
    }
  }

  #listChanged(list: "tools" | "resources" | "prompts"): void {
    for (const listener of this.#listeners) listener.listChanged(list);
    const method = `notifications/${list}/list_changed` as const;
    for (const server of this.#live.keys()) this.#tell(server.notification({ method }));
  }

  #resourceChanged(uri: string): void {
    for (const listener of this.#listeners) listener.resourceChanged(uri);
    for (const [server, wanted] of this.#live) if (wanted.has(uri)) this.#tell(server.sendResourceUpdated({ uri }));
  }

  /** A client that has gone cannot be told, and need not be. */
  #tell(sending: Promise<void>): void {
    sending.catch((error: unknown) => this.#log.debug(`A client was not told: ${describeError(error)}`));
  }
}

/** Who makes a request: hosts that know put it there. */
function principalOf({ http }: ServerContext): Principal | undefined {
  return http?.authInfo?.extra?.principal as Principal | undefined;
}

function accessOf(context: ServerContext): Access {
  return principalOf(context)?.access ?? fullAccess;
}

function observed<T>(
  server: Server,
  { transport }: Hosting,
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

/** The value as structured content and, for clients that know only text, as JSON. */
function result(value: Readonly<Record<string, unknown>>, isError: boolean): CallToolResult {
  const content = [{ type: "text" as const, text: JSON.stringify(value) }];
  return isError ? { content, isError } : { content, structuredContent: { ...value } };
}
