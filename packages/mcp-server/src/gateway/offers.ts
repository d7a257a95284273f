import { promisedByAll, type Listed, type ToolAnnotations } from "@davpool/transport-mcp";
import { mirroredParameters, type MirroredParameter } from "../mirrored-parameters.ts";
import type { Addresses } from "./addresses.ts";
import { withUiAddresses } from "./links.ts";
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
  /** They promise that it changes nothing, and the configuration trusts them in that. */
  readonly reads: boolean;
  /** Arguments that are repeated in headers. */
  readonly mirrored: readonly MirroredParameter[];
}

/** How the offers of one pool appear. */
export interface Appearance {
  /** In front of names; undefined where they stay as they are. */
  readonly prefix: string | undefined;
  readonly addresses: Addresses;
  readonly tools: ToolFilter;
  /** What servers promise of their tools decides who may use them. */
  readonly trustHints: boolean;
}

/** The tools of a pool, by the names that clients know. */
export function toolOffers(
  upstream: Upstream,
  { prefix, addresses, tools: settings, trustHints }: Appearance,
  names: Names,
): readonly ToolOffer[] {
  const wanted = filterOf(settings);
  return upstream.all("tools").flatMap((entry): readonly ToolOffer[] => {
    const original = String(entry["name"]);
    if (!wanted(original)) return [];
    const name = names.take(prefix, own(settings.rename, original) ?? original);
    // Tasks are an affair between a client and one server, and are not passed on.
    const { execution: _tasks, ...rest } = entry;
    const description = own(settings.descriptions, original);
    const holders = upstream.holders("tools", original);
    const annotations = promisedByAll(holders?.descriptions.values() ?? []);
    return [
      {
        upstream,
        original,
        name,
        definition: { ...withUiAddresses(rest, addresses), name, ...(description !== undefined && { description }) },
        mirrored: mirroredParameters(entry["inputSchema"]),
        annotations,
        reads: trustHints && annotations?.readOnlyHint === true,
      },
    ];
  });
}

export function promptOffers(
  upstream: Upstream,
  { prefix }: Appearance,
  names: Names,
): readonly (readonly [string, Offer])[] {
  return upstream.all("prompts").map((entry) => {
    const original = String(entry["name"]);
    const name = names.take(prefix, original);
    return [name, { upstream, original, definition: { ...entry, name } }] as const;
  });
}

export function resourcesOf(upstream: Upstream, { addresses }: Appearance): readonly Listed[] {
  return upstream.all("resources").map((entry) => ({
    ...entry,
    uri: addresses.shown(String(entry["uri"])),
  }));
}

export function templatesOf(upstream: Upstream, { addresses }: Appearance): readonly Listed[] {
  return upstream.all("resourceTemplates").map((entry) => ({
    ...entry,
    uriTemplate: addresses.shown(String(entry["uriTemplate"])),
  }));
}

/** Servers choose names, and some of them are those of every object's own methods. */
function own(table: Readonly<Record<string, string>> | undefined, name: string): string | undefined {
  return table && Object.hasOwn(table, name) ? table[name] : undefined;
}
