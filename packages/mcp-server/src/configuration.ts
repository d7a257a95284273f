import { dirname } from "node:path";
import {
  ConfigError,
  PluginRegistry,
  composeSchema,
  loadConfig,
  pluginImporter,
  resolveConfig,
  type ResolvedConfig,
} from "@davpool/core";
import { builtIns } from "./built-ins.ts";
import { readEnvironment, withEnvironment, type Environment } from "./environment.ts";
import { readIdentity, type IdentitySettings } from "./identity/settings.ts";
import { sections } from "./sections.ts";

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
  const config = await resolveConfig(withEnvironment(loaded?.config, settings), {
    ...(loaded && { file: loaded.file }),
    baseDirectory,
    plugins: builtIns,
    sections,
    importPlugin: pluginImporter(baseDirectory),
  });
  // It has rules that a schema cannot express.
  if (config.sections.identity !== undefined) identityOf(config);
  return config;
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
