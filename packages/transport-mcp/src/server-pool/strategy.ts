import { ConfigError, describeError, isPlugin, pluginImporter, type AnyPlugin } from "@davpool/core";

/** The strategies that WebDAV pools have as well, under the names that configurations use. */
export const STRATEGIES = [
  "round-robin",
  "least-connections",
  "least-loaded",
  "priority",
  "weighted",
  "random",
  "response-time",
] as const;

export type StrategyName = (typeof STRATEGIES)[number];

/** Its name, its name and options, or a plugin of whoever's making. */
export type Strategy =
  | StrategyName
  // oxlint-disable-next-line typescript/ban-types -- any other name, without losing the completion of the known ones
  | (string & {})
  | { readonly type: StrategyName | (string & {}); readonly [option: string]: unknown }
  | AnyPlugin;

/** Packages by the names of their strategies, aliases included. `round-robin` is built in, as the default. */
const PACKAGES: Readonly<Record<string, string>> = {
  "least-connections": "@davpool/strategy-least-connections",
  least_connections: "@davpool/strategy-least-connections",
  "least-loaded": "@davpool/strategy-least-connections",
  least_loaded: "@davpool/strategy-least-connections",
  priority: "@davpool/strategy-priority",
  weighted: "@davpool/strategy-weighted",
  random: "@davpool/strategy-random",
  "response-time": "@davpool/strategy-response-time",
};

/**
 * The plugins to know so that a strategy can be named: none where it is built in, given as a value or among `plugins`;
 * else that of its package, imported as the program would.
 */
export async function pluginsOf(
  strategy: Strategy,
  plugins: readonly AnyPlugin[],
  baseDirectory: string,
): Promise<readonly AnyPlugin[]> {
  if (isPlugin(strategy)) return [];
  const name = typeof strategy === "string" ? strategy : (strategy as { readonly type: string }).type;
  const known = plugins.some(
    (plugin) =>
      plugin.kind === "selector" && (plugin.name === name || (plugin.aliases as string[] | undefined)?.includes(name)),
  );
  const source = Object.hasOwn(PACKAGES, name) ? PACKAGES[name] : undefined;
  if (known || source === undefined) return [];
  let problem: unknown;
  // From the program, and from here: one of them finds it, however packages are laid out.
  for (const directory of [baseDirectory, import.meta.dirname]) {
    try {
      const module = (await pluginImporter(directory)(source)) as { readonly [name: string]: unknown };
      return Object.values(module).filter((value) => isPlugin(value) && value.kind === "selector") as AnyPlugin[];
    } catch (error) {
      problem ??= error;
    }
  }
  throw new ConfigError(
    undefined,
    [
      {
        path: "strategy",
        message: `"${name}" is the package ${source}, which cannot be imported from ${baseDirectory}: ${describeError(problem)}. Install it there (npm install ${source}), or import the strategy yourself and give it as a value.`,
      },
    ],
    problem,
  );
}
