import { DavpoolError, type Log } from "@davpool/core";
import type { Extension, ExtensionTool } from "../extension.ts";
import type { Gateway } from "../gateway/gateway.ts";
import { OlderTools } from "../gateway/older-tools.ts";
import type { ToolOffer } from "../gateway/offers.ts";
import { refusal, type Access } from "../identity/access.ts";
import { mirroredParameters, type MirroredParameter } from "../mirrored-parameters.ts";
import type { Tool } from "./tool.ts";

interface Listing {
  readonly definition: object & { readonly name?: unknown };
}

/** A list as it goes out, which is the same for everybody who may do the same. */
export type ToolList = { readonly tools: readonly object[] };

/** `DUPLICATE_TOOL`: two tools have one name. */
class DuplicateToolError extends DavpoolError {
  constructor(name: string) {
    super("DUPLICATE_TOOL", `There are two tools "${name}". Give the extension's another name.`);
  }
}

/**
 * Every tool there is, and for whom: those of the pools, those of other servers, and an extension's. Names of the first
 * and the last are nobody else's. Lists are made once for each kind of access.
 */
export class ToolTable {
  readonly #gateway: Gateway;
  readonly #extensionTools: ReadonlyMap<string, ExtensionTool>;
  readonly #mirrored: ReadonlyMap<string, readonly MirroredParameter[]>;
  #tools: ReadonlyMap<string, Tool> = new Map();
  #lists = new WeakMap<Access, ToolList>();
  #olderLists = new WeakMap<Access, ToolList>();
  readonly #older: OlderTools;
  readonly #texts = new WeakMap<ToolList, string>();

  /** @throws DuplicateToolError */
  constructor(gateway: Gateway, extension: Extension | undefined, log: Log) {
    this.#older = new OlderTools(log);
    const tools = extension?.tools ?? [];
    this.#gateway = gateway;
    const byName = new Map<string, ExtensionTool>();
    for (const tool of tools) {
      const { name } = tool.definition;
      if (byName.has(name)) throw new DuplicateToolError(name);
      byName.set(name, tool);
    }
    this.#extensionTools = byName;
    this.#mirrored = new Map(
      tools.map(({ definition: { name, inputSchema } }) => [name, mirroredParameters(inputSchema)]),
    );
  }

  /** Whether there are tools of pools. */
  get empty(): boolean {
    return this.#tools.size === 0;
  }

  /** From now on, these are the tools of the pools. @throws DuplicateToolError */
  replace(tools: readonly Tool[]): void {
    const byName = new Map(tools.map((tool) => [tool.name, tool]));
    for (const name of this.#extensionTools.keys()) if (byName.has(name)) throw new DuplicateToolError(name);
    this.#tools = byName;
    this.forgetLists();
  }

  /** What other servers offer has changed. */
  forgetLists(): void {
    this.#lists = new WeakMap();
    this.#olderLists = new WeakMap();
  }

  /** A tool of a pool that this server has made, where it is there for the caller. */
  own(name: string, access: Access): Tool | undefined {
    const tool = this.#tools.get(name);
    return tool && refusal(access, useOfTool(tool)) === undefined ? tool : undefined;
  }

  /** A tool of the extension, where it is there for the caller: what is not a pool's is for those who may do everything. */
  ofExtension(name: string, access: Access): ExtensionTool | undefined {
    return access.unlimited ? this.#extensionTools.get(name) : undefined;
  }

  /** A tool of another server, for whoever it is there. */
  offered(name: string): ToolOffer | undefined {
    return this.#isOwn(name) ? undefined : this.#gateway.tools.get(name);
  }

  /** The same, where it is there for the caller, and asked for anew where servers have not said yet what they offer. */
  async findOffered(name: string, access: Access): Promise<ToolOffer | undefined> {
    const offer = this.#isOwn(name) ? undefined : await this.#gateway.findTool(name);
    return offer && refusal(access, useOfOffer(offer)) === undefined ? offer : undefined;
  }

  /** Whether anybody has a tool of this name. */
  has(name: string): boolean {
    return this.#isOwn(name) || this.#gateway.tools.has(name);
  }

  /** The arguments of a tool that clients repeat in headers; tools of the pools have none. */
  mirrored(name: string, access: Access): readonly MirroredParameter[] {
    const own = access.unlimited ? this.#mirrored.get(name) : undefined;
    return own ?? this.#gateway.tools.get(name)?.mirrored ?? [];
  }

  list(access: Access): ToolList {
    let list = this.#lists.get(access);
    if (!list) this.#lists.set(access, (list = { tools: this.#visible(access).map(({ definition }) => definition) }));
    return list;
  }

  /** The same for a client of a 2025 protocol. */
  olderList(access: Access): ToolList {
    let list = this.#olderLists.get(access);
    if (!list) {
      list = { tools: this.list(access).tools.map((tool) => this.#older.fit(tool)) };
      this.#olderLists.set(access, list);
    }
    return list;
  }

  /**
   * The list for a client of a 2025 protocol as JSON; undefined while servers have not said yet what they offer. It
   * is kept for as long as the list.
   */
  listText(access: Access): string | undefined {
    if (!this.#gateway.ready) return undefined;
    const list = this.olderList(access);
    let text = this.#texts.get(list);
    if (text === undefined) this.#texts.set(list, (text = JSON.stringify(list)));
    return text;
  }

  names(access: Access): readonly unknown[] {
    return this.#visible(access).map(({ definition }) => definition.name);
  }

  #isOwn(name: string): boolean {
    return this.#tools.has(name) || this.#extensionTools.has(name);
  }

  #visible(access: Access): readonly Listing[] {
    const mine = [...this.#tools.values()].filter((tool) => refusal(access, useOfTool(tool)) === undefined);
    const theirs = [...this.#gateway.tools.values()].filter(
      (offer) => !this.#isOwn(offer.name) && refusal(access, useOfOffer(offer)) === undefined,
    );
    const more = access.unlimited ? this.#extensionTools.values() : [];
    return [...mine, ...theirs, ...more];
  }
}

function useOfTool({ name, pool, mayRead, manages }: Tool) {
  return { tool: name, pool, safe: mayRead, manages };
}

function useOfOffer({ name, upstream, reads }: ToolOffer) {
  return { tool: name, pool: upstream.name, safe: reads };
}
