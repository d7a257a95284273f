import { dirname } from "node:path";
import {
  ConfigError,
  PluginRegistry,
  composeSchema,
  loadConfig,
  member,
  pluginImporter,
  resolveConfig,
  suggestion,
  type CheckedPoolName,
  type ConfigIssue,
  type ResolvedConfig,
} from "@davpool/core";
import { builtIns } from "./built-ins.ts";
import { withMigrationHints } from "./migration-hints.ts";
import { readEnvironment, withEnvironment, type Environment } from "./environment.ts";
import { shownPrefix } from "./gateway/names.ts";
import { identityProblems, readIdentity, type IdentitySettings } from "./identity/settings.ts";
import { sections } from "./sections.ts";
import { headerProblems } from "./tools/header-rules.ts";

export interface ConfigurationSource {
  /** The file; default: `davpool.config.*` in `directory` or above. */
  readonly file?: string | undefined;
  readonly directory?: string;
  readonly environment?: Environment;
}

/**
 * The whole configuration: the file, below it the environment, below that the defaults, checked against the plugins
 * in use.
 * @throws ConfigError with everything that is wrong.
 */
export async function readConfiguration(source: ConfigurationSource = {}): Promise<ResolvedConfig> {
  const { directory = process.cwd(), environment = process.env } = source;
  const strategies = new PluginRegistry(builtIns)
    .list("selector")
    .flatMap((plugin) => [String(plugin.name), ...(plugin.aliases ?? [])]);
  const settings = readEnvironment(environment, strategies);
  const loaded = await loadConfig(source.file, directory);
  const baseDirectory = loaded ? dirname(loaded.file) : directory;
  const resolving = resolveConfig(withEnvironment(loaded?.config, settings), {
    ...(loaded && { file: loaded.file }),
    baseDirectory,
    plugins: builtIns,
    sections,
    checkSections,
    importPlugin: pluginImporter(baseDirectory),
  });
  return resolving.catch((error: unknown) => {
    throw error instanceof ConfigError ? withMigrationHints(error) : error;
  });
}

/** What is wrong with this package's keys beyond their schemas. */
function checkSections(
  { identity, gateway, security }: Readonly<Record<string, unknown>>,
  pools: readonly CheckedPoolName[],
): readonly ConfigIssue[] {
  return [
    ...(identity === undefined ? [] : identityProblems(identity, { pools: pools.map(({ name }) => name) })),
    ...gatewayProblems(gateway, pools),
    ...poolNameProblems(pools),
    ...headerProblems(security),
  ];
}

/** Pools whose tools could have the same names: what is called would depend on which of them is up. */
function poolNameProblems(pools: readonly CheckedPoolName[]): readonly ConfigIssue[] {
  return pools.flatMap(({ name }, index) => {
    const prefix = shownPrefix(name);
    const other = pools
      .slice(0, index)
      .find((earlier) => prefix.startsWith(shownPrefix(earlier.name)) || shownPrefix(earlier.name).startsWith(prefix));
    if (!other) return [];
    return {
      path: member("pools", name),
      message: `its tools would be called ${prefix}…, as those of pool "${other.name}" may be, which are called ${shownPrefix(other.name)}…; give one of the two another name.`,
    };
  });
}

/** Settings for a pool that is not there, or is none of MCP servers, would be without effect. */
function gatewayProblems(gateway: unknown, pools: readonly CheckedPoolName[]): readonly ConfigIssue[] {
  const { pools: written } = (gateway ?? {}) as { readonly pools?: unknown };
  if (typeof written !== "object" || written === null || Array.isArray(written)) return [];
  const known = pools.filter(({ transport }) => transport === "mcp").map(({ name }) => name);
  return Object.keys(written).flatMap((name) => {
    const path = member("gateway.pools", name);
    const pool = pools.find((candidate) => candidate.name === name);
    // Of one whose transport nobody knows, that is reported.
    if (pool && (pool.transport === undefined || pool.transport === "mcp")) return [];
    const hint = suggestion(name, known);
    return {
      path,
      message: `${pool ? `pool "${name}" is none of MCP servers` : `there is no pool "${name}"`}; pools of MCP servers: ${known.join(", ") || "none"}.`,
      ...(hint !== undefined && { suggestion: hint }),
    };
  });
}

/** Who may use a server over HTTP; undefined when the configuration does not say. @throws ConfigError */
export function identityOf({ sections: { identity }, pools, file }: ResolvedConfig): IdentitySettings | undefined {
  if (identity === undefined) return undefined;
  try {
    return readIdentity(identity, { pools: pools.map(({ name }) => name) });
  } catch (error) {
    throw error instanceof ConfigError ? new ConfigError(file, error.issues) : error;
  }
}

/** JSON Schema of the configuration, for the built-in plugins and those that the configuration file brings. */
export async function configurationSchema(source: ConfigurationSource = {}): Promise<object> {
  const loaded = await loadConfig(source.file, source.directory);
  const registry = loaded ? (await readConfiguration(source)).registry : new PluginRegistry(builtIns);
  return composeSchema(registry, sections);
}
