/*
 * Puts the davpool command into a few files. It is made of some 1,500 modules, most of them of libraries, and looking
 * for each costs more than running them all: in one piece it is ready in less than half the time. Programs and plugins
 * import the packages as they are; nothing asks whether a value came from the same copy.
 */
import { readFileSync } from "node:fs";
import { dirname, parse, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";

const COMMAND = fileURLToPath(new URL("../packages/mcp-server/src/bin.ts", import.meta.url));
const DIST = fileURLToPath(new URL("../packages/mcp-server/dist/command", import.meta.url));
/** How modules ask for their package's version, which is another file's place once they are moved. */
const PACKAGE = /createRequire\(import\.meta\.url\)\("((?:\.\.\/)+package\.json)"\)/g;

/** Writes the command, with all that it imports, into a folder, and returns the file to run. */
export function bundleCommand(folder: string = DIST): Promise<string> {
  return bundleProgram(COMMAND, folder);
}

/** Does the same with any program. */
export async function bundleProgram(file: string, folder: string): Promise<string> {
  const bundle = await rolldown({
    input: file,
    platform: "node",
    plugins: [
      {
        name: "package-version",
        transform: (code, id) =>
          code.includes("package.json")
            ? code.replaceAll(PACKAGE, (_found, path: string) => {
                const text = readFileSync(resolve(dirname(id), path), "utf8");
                const { version } = JSON.parse(text) as { version: string };
                return JSON.stringify({ version });
              })
            : undefined,
      },
    ],
    onLog(level, log, report) {
      if (level === "warn") report("error", log);
    },
  });
  await bundle.write({ dir: folder, format: "esm", entryFileNames: "[name].js", chunkFileNames: "[name]-[hash].js" });
  await bundle.close();
  return resolve(folder, `${parse(file).name}.js`);
}

if (import.meta.main) await bundleCommand();
