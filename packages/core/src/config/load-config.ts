import { existsSync, readFileSync } from "node:fs";
import { createRequire, findPackageJSON } from "node:module";
import { dirname, isAbsolute, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { cosmiconfig } from "cosmiconfig";
import type { Clock } from "../contracts/clock.ts";
import { ConfigError, PackageMissingError } from "../errors/config-errors.ts";
import { describeThrown } from "../errors/plugin-errors.ts";
import { systemClock } from "../time/system-clock.ts";
import { filesOf, importAnew, importWithin } from "./import-anew.ts";

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
 * @throws ConfigError when the file is missing, does not parse, throws, does not come to an end or exports nothing.
 */
export async function loadConfig(
  file: string | undefined,
  directory: string = process.cwd(),
  clock: Clock = systemClock,
): Promise<LoadedConfig | undefined> {
  const load = (path: string) => importAnew(path, clock);
  const explorer = cosmiconfig("davpool", {
    searchPlaces: NAMES,
    stopDir: "/",
    searchStrategy: "global",
    cache: false,
    // One that exports nothing is a mistake to be told, and not to be passed over in silence.
    ignoreEmptySearchPlaces: false,
    loaders: { ".ts": load, ".mts": load, ".js": load, ".mjs": load },
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
    const broken = path ?? (error as { filepath?: string }).filepath;
    throw new ConfigError(broken, [{ path: "", message: loadProblem(error, path, broken) }], error);
  }
}

function nothingExported(file: string): string {
  return /\.(json|ya?ml)$/.test(file)
    ? "is empty; it needs at least the key pools."
    : "has no default export. Write `export default defineConfig({ … })`.";
}

function loadProblem(error: unknown, path: string | undefined, file: string | undefined): string {
  const { code, reason, mark } = error as NodeJS.ErrnoException & { reason?: string; mark?: { line: number } };
  // The file may be there and fail to find another one.
  if (path !== undefined && !existsSync(path)) return "does not exist. Check the path given with --config.";
  if (code === "EACCES") return "cannot be read: permission denied.";
  // What the readers of data say is of several lines, and begins with the file.
  const [, words] = /^JSON Error in .*:\n(.*)$/m.exec((error as Error).message) ?? [];
  if (words !== undefined) return `cannot be loaded: ${words}`;
  if (reason !== undefined && mark) return `cannot be loaded: ${reason} (at ${String(file)}:${mark.line + 1})`;
  return `cannot be loaded: ${describeThrown(error, new Set(file === undefined ? [] : filesOf(file)))}`;
}

/** Imports plugins by package name or relative path, as seen from the configuration file's folder. */
export function pluginImporter(baseDirectory: string, clock: Clock = systemClock): (name: string) => Promise<unknown> {
  const base = pathToFileURL(resolve(baseDirectory, "davpool.config.js")).href;
  return async (name) => {
    const ofFile = name.startsWith(".") || isAbsolute(name);
    const path = ofFile ? resolve(baseDirectory, name) : packageEntry(name, base);
    if (ofFile && !existsSync(path)) throw new Error(`there is no file ${path}`);
    return await importWithin(pathToFileURL(path).href, clock);
  };
}

/** The file that `import name` would load from `base`; the platform answers this only for the calling module. */
function packageEntry(name: string, base: string): string {
  try {
    return createRequire(base).resolve(name);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // The platform adds a list of who asked, and the only one there is a file that does not exist.
    if (code === "MODULE_NOT_FOUND" && manifestOf(name, base) === undefined) throw new PackageMissingError(name);
    if (code !== "ERR_PACKAGE_PATH_NOT_EXPORTED") throw error;
  }
  const manifest = manifestOf(name, base);
  if (manifest === undefined) throw new PackageMissingError(name);
  const { exports } = JSON.parse(readFileSync(manifest, "utf8")) as { exports?: unknown };
  const entry = importCondition((exports as Record<string, unknown> | undefined)?.["."] ?? exports);
  if (entry === undefined) throw new Error(`package ${name} exports nothing to import`);
  return resolve(dirname(manifest), entry);
}

function manifestOf(name: string, base: string): string | undefined {
  try {
    return findPackageJSON(name, base);
  } catch {
    return undefined;
  }
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
