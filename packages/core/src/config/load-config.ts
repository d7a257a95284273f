import { existsSync, readFileSync } from "node:fs";
import { createRequire, findPackageJSON } from "node:module";
import { dirname, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { cosmiconfig } from "cosmiconfig";
import { ConfigError } from "../errors/config-errors.ts";
import { describeError } from "../errors/davpool-error.ts";
import { importAnew } from "./import-anew.ts";

const EXTENSIONS = ["ts", "mts", "js", "mjs", "json", "yaml"] as const;
const NAMES = EXTENSIONS.map((extension) => `davpool.config.${extension}`);

export interface LoadedConfig {
  /** What the file exports, unchecked. */
  readonly config: unknown;
  readonly file: string;
}

/**
 * Finds and reads the configuration file, as it is now: also when it was read before.
 * @param file the file itself; without it, `davpool.config.*` is looked for in `directory` and the folders above it.
 * @returns undefined when none was named and none is there.
 * @throws ConfigError when the file is missing, does not parse, throws or exports nothing.
 */
export async function loadConfig(
  file: string | undefined,
  directory: string = process.cwd(),
): Promise<LoadedConfig | undefined> {
  const explorer = cosmiconfig("davpool", {
    searchPlaces: NAMES,
    stopDir: "/",
    searchStrategy: "global",
    cache: false,
    // One that exports nothing is a mistake to be told, and not to be passed over in silence.
    ignoreEmptySearchPlaces: false,
    loaders: { ".ts": importAnew, ".mts": importAnew, ".js": importAnew, ".mjs": importAnew },
  });
  const path = file === undefined ? undefined : resolve(directory, file);
  try {
    const found = await (path === undefined ? explorer.search(directory) : explorer.load(path));
    if (found && !found.isEmpty && found.config != null)
      return { config: found.config as unknown, file: found.filepath };
    const empty = found?.filepath ?? path;
    if (empty === undefined) return undefined;
    throw new ConfigError(empty, [{ path: "", message: nothingExported(empty) }]);
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new ConfigError(
      path ?? (error as { filepath?: string }).filepath,
      [{ path: "", message: loadProblem(error, path) }],
      error,
    );
  }
}

function nothingExported(file: string): string {
  return /\.(json|ya?ml)$/.test(file)
    ? "is empty; it needs at least the key pools."
    : "has no default export. Write `export default defineConfig({ … })`.";
}

function loadProblem(error: unknown, path: string | undefined): string {
  const { code } = error as NodeJS.ErrnoException;
  // The file may be there and fail to find another one.
  if (path !== undefined && !existsSync(path)) return "does not exist. Check the path given with --config.";
  if (code === "EACCES") return "cannot be read: permission denied.";
  return `cannot be loaded: ${describeError(error)}`;
}

/** Imports plugins by package name or relative path, as seen from the configuration file's folder. */
export function pluginImporter(baseDirectory: string): (name: string) => Promise<unknown> {
  const base = pathToFileURL(resolve(baseDirectory, "davpool.config.js")).href;
  return async (name) => {
    const path = name.startsWith(".") ? resolve(baseDirectory, name) : packageEntry(name, base);
    return (await import(pathToFileURL(path).href)) as unknown;
  };
}

/** The file that `import name` would load from `base`; the platform answers this only for the calling module. */
function packageEntry(name: string, base: string): string {
  try {
    return createRequire(base).resolve(name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_PACKAGE_PATH_NOT_EXPORTED") throw error;
  }
  const manifest = findPackageJSON(name, base);
  if (manifest === undefined) throw new Error(`package ${name} is not installed`);
  const { exports } = JSON.parse(readFileSync(manifest, "utf8")) as { exports?: unknown };
  const entry = importCondition((exports as Record<string, unknown> | undefined)?.["."] ?? exports);
  if (entry === undefined) throw new Error(`package ${name} exports nothing to import`);
  return resolve(dirname(manifest), entry);
}

function importCondition(target: unknown): string | undefined {
  if (typeof target === "string") return target;
  if (typeof target !== "object" || target === null) return undefined;
  for (const [condition, inner] of Object.entries(target)) {
    if (!["import", "node", "default"].includes(condition)) continue;
    const entry = importCondition(inner);
    if (entry !== undefined) return entry;
  }
  return undefined;
}
