import type { Log } from "@davpool/core";
import { promisedByAll, type ListKind, type Listed, type ToolAnnotations } from "@davpool/transport-mcp";
import { specTypeSchemas } from "@modelcontextprotocol/server";
import { mirroredParameters, type MirroredParameter } from "../mirrored-parameters.ts";
import type { Addresses } from "./addresses.ts";
import type { Names } from "./names.ts";
import type { ToolFilter } from "./section.ts";
import { filterOf } from "./tool-filter.ts";
import type { Upstream } from "./upstream.ts";

/** Something that servers of a pool offer, as clients see it. */
export interface Offer {
  readonly upstream: Upstream;
  /** As the servers call it. */
  readonly original: string;
  /** As lists show it. */
  readonly definition: Listed;
}

export interface ToolOffer extends Offer {
  readonly name: string;
  /** What all servers that have it promise. */
  readonly annotations: ToolAnnotations | undefined;
  /** Arguments that are repeated in headers. */
  readonly mirrored: readonly MirroredParameter[];
}

/** How the offers of one pool appear. */
export interface Appearance {
  /** In front of names; undefined where they stay as they are. */
  readonly prefix: string | undefined;
  readonly addresses: Addresses;
  readonly tools: ToolFilter;
}

type Kind = "tools" | "prompts" | "resources" | "resourceTemplates";

const SCHEMAS = {
  tools: specTypeSchemas.Tool,
  prompts: specTypeSchemas.Prompt,
  resources: specTypeSchemas.Resource,
  resourceTemplates: specTypeSchemas.ResourceTemplate,
} as const satisfies Record<ListKind, unknown>;

/** What one list holds: only what the protocol allows, so that one server's mistake spoils no other's list. */
export class Offers {
  readonly #log: Log;
  /** What was complained of, once. */
  readonly #told = new Set<string>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** The tools of a pool, by the names that clients know. */
  tools(upstream: Upstream, { prefix, tools: settings }: Appearance, names: Names): readonly ToolOffer[] {
    const wanted = filterOf(settings);
    return this.#valid(upstream, "tools").flatMap((entry): readonly ToolOffer[] => {
      const original = String(entry["name"]);
      if (!wanted(original)) return [];
      const name = names.take(prefix, settings.rename?.[original] ?? original);
      // Tasks are an affair between a client and one server, and are not passed on.
      const { execution: _tasks, ...rest } = entry;
      const description = settings.descriptions?.[original];
      const holders = upstream.holders("tools", original);
      return [
        {
          upstream,
          original,
          name,
          definition: { ...rest, name, ...(description !== undefined && { description }) },
          mirrored: mirroredParameters(entry["inputSchema"]),
          annotations: promisedByAll(holders?.descriptions.values() ?? []),
        },
      ];
    });
  }

  prompts(upstream: Upstream, { prefix }: Appearance, names: Names): readonly (readonly [string, Offer])[] {
    return this.#valid(upstream, "prompts").map((entry) => {
      const original = String(entry["name"]);
      const name = names.take(prefix, original);
      return [name, { upstream, original, definition: { ...entry, name } }] as const;
    });
  }

  resources(upstream: Upstream, { addresses }: Appearance): readonly Listed[] {
    return this.#valid(upstream, "resources").map((entry) => ({
      ...entry,
      uri: addresses.shown(String(entry["uri"])),
    }));
  }

  templates(upstream: Upstream, { addresses }: Appearance): readonly Listed[] {
    return this.#valid(upstream, "resourceTemplates").map((entry) => ({
      ...entry,
      uriTemplate: addresses.shown(String(entry["uriTemplate"])),
    }));
  }

  #valid(upstream: Upstream, kind: Kind): readonly Listed[] {
    return upstream.all(kind).filter((entry) => {
      const checked = SCHEMAS[kind]["~standard"].validate(entry);
      if (checked.issues === undefined) return true;
      const name = String(entry["name"]).slice(0, 100);
      const about = `${upstream.name} ${kind} ${name}`;
      if (!this.#told.has(about))
        this.#log.warn(
          `An entry of a server's list is not as the protocol has it, and is left out: ${checked.issues[0]?.message ?? "it has no form"}`,
          { pool: upstream.name, list: kind, name, field: checked.issues[0]?.path?.map(String).join(".") },
        );
      this.#told.add(about);
      return false;
    });
  }
}
