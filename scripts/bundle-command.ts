/*
 * Puts the davpool command into a few files. It is made of some 1,500 modules, most of them of libraries, and looking
 * for each costs more than running them all: in one piece it is ready in less than half the time. Programs and plugins
 * import the packages as they are; nothing asks whether a value came from the same copy.
 */
import { readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { dirname, parse, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";
import { transform } from "rolldown/utils";

const COMMAND = fileURLToPath(new URL("../packages/mcp-server/src/bin.ts", import.meta.url));
/** What the command goes on with. Its parts are divided in the best way where it counts as a program as well. */
const REST = fileURLToPath(new URL("../packages/mcp-server/src/command.ts", import.meta.url));
const DIST = fileURLToPath(new URL("../packages/mcp-server/dist/command", import.meta.url));
/** The oldest platform that packages are for. */
const TARGET = oldestPlatform();
/** How modules ask for their package's version, which is another file's place once they are moved. */
const PACKAGE = /createRequire\(import\.meta\.url\)\("((?:\.\.\/)+package\.json)"\)/g;

function oldestPlatform(): string {
  const manifest = readFileSync(new URL("../packages/mcp-server/package.json", import.meta.url), "utf8");
  const { engines } = JSON.parse(manifest) as { engines: { node: string } };
  return engines.node.replace(">=", "node");
}

/** Writes the command, with all that it imports, into a folder, and returns the file to run. */
export function bundleCommand(folder: string = DIST): Promise<string> {
  return bundleProgram(COMMAND, folder, [REST]);
}

/** Does the same with any program. */
export async function bundleProgram(file: string, folder: string, others: readonly string[] = []): Promise<string> {
  const bundle = await rolldown({
    input: [file, ...others],
    platform: "node",
    transform: { target: TARGET },
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

/** Whether there is something in a file to be written out for a platform. */
export async function isTooNew(file: string, target: string = TARGET): Promise<boolean> {
  const code = readFileSync(file, "utf8");
  const [asItIs, writtenOut] = await Promise.all(["esnext", target].map((to) => transform(file, code, { target: to })));
  return asItIs?.code !== writtenOut?.code;
}

if (import.meta.main) {
  // Pieces of an earlier one have other names, and would be published as well.
  await rm(DIST, { recursive: true, force: true });
  await bundleCommand();
}
