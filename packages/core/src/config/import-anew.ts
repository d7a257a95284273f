import { realpathSync } from "node:fs";
import { createRequire, registerHooks, type LoadHookSync, type ResolveHookSync } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { Clock } from "../contracts/clock.ts";
import { describeError } from "../errors/davpool-error.ts";
import { inTime } from "../time/in-time.ts";

/** Milliseconds that what is imported may wait for something at its top level. */
export const IMPORT_LIMIT = 30_000;

const RELATIVE = /^\.{1,2}\//;
const require = createRequire(import.meta.url);

/** Files that each module was made of when it was last imported, the module itself first. */
const imported = new Map<string, readonly string[]>();
let times = 0;

/**
 * Imports a module with what its file says now, and returns its default export. So it is with what it imports by
 * relative path, and what that imports; packages stay as they were first imported, and so does a CommonJS module below
 * an ES module.
 *
 * The platform keeps every module it has ever imported, so each new reading takes some memory for good: as much as its
 * modules hold.
 */
export async function importAnew(path: string, clock: Clock): Promise<unknown> {
  const known = imported.get(path);
  // The first time there is nothing to get round.
  const mark = known ? `?reading=${String(++times)}` : "";
  const real = realpathSync(path);
  const file = pathToFileURL(real).href;
  const entry = file + mark;
  const own = new Set([file, entry]);

  const resolve: ResolveHookSync = (specifier, context, next) => {
    const found = next(specifier, context);
    const { parentURL = "" } = context;
    if (!own.has(parentURL) || !RELATIVE.test(specifier) || !found.url.startsWith("file:")) return found;
    // What is required, and not imported, comes from a file without a mark.
    const url = parentURL.endsWith(mark) && !found.url.includes("?") ? found.url + mark : found.url;
    own.add(url);
    return { ...found, url };
  };
  const load: LoadHookSync = (url, context, next) => {
    if (url !== entry) return next(url, context);
    // A configuration has an `export default` wherever it lies, also where a package.json says that plain files are
    // CommonJS, as those made by `npm init` do.
    if (/\.m?ts$/.test(real)) return next(url, { ...context, format: "module-typescript" });
    const loaded = next(url, context);
    if (mark === "" || loaded.format !== "commonjs") return loaded;
    forgetRequired(real);
    const source = `import { createRequire } from "node:module";
export default createRequire(import.meta.url)(${JSON.stringify(real)});`;
    return { format: "module", source, shortCircuit: true };
  };

  const hooks = registerHooks({ resolve, load });
  try {
    return ((await importWithin(entry, clock)) as { default?: unknown }).default;
  } catch (error) {
    throw error instanceof Error ? error : new Error(describeError(error), { cause: error });
  } finally {
    hooks.deregister();
    // The file itself by the path that was asked for, which may be a link that comes to lead elsewhere.
    const files = new Set([...own].map((url) => fileURLToPath(url)));
    files.delete(real);
    imported.set(path, [path, ...files]);
  }
}

/** Imports a module, and does not wait for ever for what it waits for. */
export function importWithin(url: string, clock: Clock): Promise<unknown> {
  const late = () =>
    new Error(`it had not been evaluated after ${IMPORT_LIMIT} ms. Look for an await at its top level that never ends`);
  return inTime(import(url) as Promise<unknown>, clock, IMPORT_LIMIT, late);
}

/** Files that a configuration file was made of when it was last read, itself first. */
export function filesOf(path: string): readonly string[] {
  return imported.get(path) ?? [path];
}

/** Has `require` read a file anew, and what it requires by relative path. */
function forgetRequired(path: string): void {
  const known = require.cache[path];
  if (!known) return;
  delete require.cache[path];
  for (const child of known.children) if (!child.id.includes("/node_modules/")) forgetRequired(child.id);
}
