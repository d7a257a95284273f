import { execFile } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const TSC = join(ROOT, "node_modules/.bin/tsc");
const README = readFileSync(join(ROOT, "README.md"), "utf8");

/** The configurations that the first page shows, and one that says something to every plugin with fields of its own. */
const CONFIGURATIONS = [
  ...[...README.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, text = ""]) => text),
  `import { defineConfig } from "@davpool/mcp-server";

export default defineConfig({
  store: { type: "file", path: "servers.json" },
  pools: {
    files: {
      transport: { type: "webdav", idleTimeout: "1m" },
      strategy: { type: "response-time", decay: "10s" },
      probe: { type: "ping", slow: "1s" },
      failover: { type: "default", backoff: "100ms" },
      policies: [{ type: "audit-log", file: "audit.log", arguments: "names" }],
      notifiers: [{ type: "webhook", url: "https://example.com/", secret: { env: "SECRET" } }],
      credentials: { type: "principals", principals: { alice: { token: "t" } } },
      servers: [{ serverId: "a", url: "https://a.example.com/", password: { env: "A" } }],
    },
    // @ts-expect-error: there is no such field.
    other: { transport: "webdav", strategy: { type: "response-time", dcay: "10s" } },
    tools: { transport: { type: "mcp", sessions: "own" }, servers: [{ serverId: "b", command: ["b"] }] },
  },
  tools: { maxBodySize: 1_000 },
  http: { drain: "10s" },
  sessions: { idle: "10m" },
  gateway: { namespace: "always" },
  // @ts-expect-error: nor this one.
  telemetry: { prometheus: true, jaeger: true },
});
`,
];

interface Manifest {
  readonly name: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly publishConfig: object;
}

let folder: string;

function tsc(configuration: string): Promise<string> {
  return promisify(execFile)(TSC, ["-p", configuration]).then(
    () => "",
    (error: { stdout: string }) => error.stdout,
  );
}

/** Puts the packages into a project outside of this one as they are published: declarations, and no sources. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "davpool-types-"));
  const declarations = join(folder, "tsconfig.json");
  const sources = ["packages/*/src", "packages/*/*/src"].map((path) => join(ROOT, path));
  await writeFile(
    declarations,
    JSON.stringify({
      extends: join(ROOT, "tsconfig.base.json"),
      compilerOptions: {
        declaration: true,
        emitDeclarationOnly: true,
        noCheck: true,
        rootDir: ROOT,
        outDir: join(folder, "out"),
        typeRoots: [join(ROOT, "node_modules/@types")],
      },
      include: sources,
      exclude: sources.flatMap((path) => [`${path}/**/*.test.ts`, `${path}/**/*.test-support.ts`]),
    }),
  );
  const problems = await tsc(declarations);
  if (problems !== "") throw new Error(problems);
  for (const file of globSync(["packages/*/package.json", "packages/*/*/package.json"], { cwd: ROOT })) {
    const { name, dependencies = {}, publishConfig } = JSON.parse(readFileSync(join(ROOT, file), "utf8")) as Manifest;
    const at = join(folder, "node_modules", name);
    await mkdir(at, { recursive: true });
    await writeFile(
      join(at, "package.json"),
      JSON.stringify({ name, version: "1.0.0", type: "module", ...publishConfig }),
    );
    await rename(join(folder, "out", dirname(file), "src"), join(at, "dist"));
    for (const needed of Object.keys(dependencies)) {
      if (needed.startsWith("@davpool/")) continue;
      const link = join(at, "node_modules", needed);
      await mkdir(dirname(link), { recursive: true });
      await symlink(join(ROOT, dirname(file), "node_modules", needed), link);
    }
  }
  await writeFile(join(folder, "package.json"), '{ "type": "module" }');
  for (const [index, text] of CONFIGURATIONS.entries()) await writeFile(join(folder, `config-${index}.ts`), text);
});
afterAll(() => rm(folder, { recursive: true }));

test.each([
  { module: "nodenext", moduleResolution: "nodenext" },
  { module: "preserve", moduleResolution: "bundler" },
])("configurations have right types in a project of its own with $moduleResolution", async (options) => {
  const file = join(folder, `tsconfig.${options.moduleResolution}.json`);
  const compilerOptions = { ...options, target: "ES2024", strict: true, noEmit: true, skipLibCheck: true, types: [] };
  await writeFile(file, JSON.stringify({ compilerOptions, include: ["config-*.ts"] }));
  expect(await tsc(file)).toBe("");
});
