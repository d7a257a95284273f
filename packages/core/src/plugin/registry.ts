import { suggestion } from "../config/suggestion.ts";
import type { ConfigIssue } from "../errors/config-errors.ts";
import { CONTRACT_VERSION, type AnyPlugin, type PluginKind } from "./define-plugin.ts";

/** Kinds in the order in which instances are created, so that each finds what it needs. */
export const KINDS: readonly PluginKind[] = [
  "service",
  "transport",
  "credentials",
  "affinity",
  "store",
  "selector",
  "probe",
  "failover",
  "policy",
  "notifier",
  "aggregator",
];

/** What is wrong with a value that should be a plugin, in one sentence; undefined when nothing is. */
export function pluginProblem(value: unknown): string | undefined {
  if (typeof value !== "object" || value === null)
    return `is ${value === null ? "null" : typeof value}, not a plugin made with definePlugin`;
  const plugin = value as Partial<AnyPlugin>;
  if (isModule(value) && !("contract" in plugin))
    return `is missing: the module exports ${Object.keys(value).join(", ") || "nothing"} by name. Write \`export default definePlugin({ … })\``;
  if (!("contract" in plugin)) return "has no `contract`: make it with definePlugin of @davpool/core";
  if (plugin.contract !== CONTRACT_VERSION)
    return `was made for plugin contract ${String(plugin.contract)}, and this davpool has contract ${String(CONTRACT_VERSION)}: install a matching version`;
  if (!KINDS.includes(plugin.kind as PluginKind))
    return `has kind "${String(plugin.kind)}"; the kinds are ${KINDS.join(", ")}`;
  if (typeof plugin.name !== "string" || plugin.name === "") return "has no name";
  if (typeof plugin.create !== "function") return `("${plugin.name}") has no create function`;
  if (typeof plugin.options !== "object" || plugin.options === null)
    return `("${plugin.name}") has options that are no schema`;
  if (plugin.kind === "service" && typeof plugin.provides !== "symbol")
    return `("${plugin.name}") is a service without the token it provides`;
  return undefined;
}

/** What `import()` of an ES module gives. */
function isModule(value: object): boolean {
  return (value as { [Symbol.toStringTag]?: unknown })[Symbol.toStringTag] === "Module";
}

export function isPlugin(value: unknown): value is AnyPlugin {
  return pluginProblem(value) === undefined;
}

/** The plugins in use, by kind and name. */
export class PluginRegistry {
  readonly #plugins = new Map<PluginKind, Map<string, AnyPlugin>>(KINDS.map((kind) => [kind, new Map()]));

  /** @param builtIns those that need not be listed in a configuration. */
  constructor(builtIns: Iterable<AnyPlugin> = []) {
    for (const plugin of builtIns) this.#set(plugin);
  }

  /**
   * Adds a plugin.
   * @returns what is wrong with it, in one sentence: another plugin of its kind has the name, and it does not say that it
   * replaces that one.
   */
  register(plugin: AnyPlugin): string | undefined {
    const kind = plugin.kind as PluginKind;
    const name = String(plugin.name);
    const known = this.get(kind, name);
    if (known && known !== plugin && plugin.override !== true)
      return `("${name}") has the name of another ${kind} plugin. Choose another name, or set override: true in definePlugin to replace that one`;
    this.#set(plugin);
    return undefined;
  }

  #set(plugin: AnyPlugin): void {
    this.#plugins.get(plugin.kind as PluginKind)?.set(plugin.name, plugin);
  }

  /** @param name the plugin's own, or one of its aliases. */
  get(kind: PluginKind, name: string): AnyPlugin | undefined {
    return (
      this.#plugins.get(kind)?.get(name) ?? this.list(kind).find((plugin) => plugin.aliases?.includes(name) === true)
    );
  }

  /** Plugins of a kind in the order of their names. */
  list(kind: PluginKind): readonly AnyPlugin[] {
    return [...(this.#plugins.get(kind)?.values() ?? [])].toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** The issue to report for a name that no plugin has. */
  unknown(kind: PluginKind, name: string, path: string): ConfigIssue {
    const names = this.list(kind).map((plugin) => String(plugin.name));
    const hint = suggestion(name, names);
    return {
      path,
      message: `there is no ${kind} "${name}"; known: ${names.join(", ") || "none"}. A plugin of your own goes into "plugins" first.`,
      ...(hint !== undefined && { suggestion: hint }),
    };
  }
}
