import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadConfig, pluginImporter } from "./load-config.ts";

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "davpool-config-"));
  writeFileSync(join(folder, "package.json"), '{ "name": "modules", "type": "module" }');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function write(name: string, content: string): string {
  const path = join(folder, name);
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, content);
  return path;
}

async function problem(name: string): Promise<string> {
  return loadConfig(name, folder).then(
    () => "none",
    (error: { message: string }) => error.message.split("\n").slice(1).join("\n").trim(),
  );
}

describe("a configuration file", () => {
  test.each([
    ["as.ts", "export default { pools: {} as object };"],
    ["as.mts", "export default { pools: {} as object };"],
    ["as.js", "export default { pools: {} };"],
    ["as.mjs", "export default { pools: {} };"],
    ["as.json", '{ "pools": {} }'],
    ["as.yaml", "pools: {}"],
    ["commonjs/as.ts", "export default { pools: {} as object };"],
    ["commonjs/as.js", "module.exports = { pools: {} };"],
  ])("may be written as %s", async (name, content) => {
    write("commonjs/package.json", '{ "name": "scripts" }');
    const file = write(name, content);
    expect(await loadConfig(name, folder)).toEqual({ config: { pools: {} }, file });
  });

  test("is found in the folder and in those above it", async () => {
    const file = write("nested/davpool.config.mts", "export default { pools: { here: {} } };");
    expect(await loadConfig(undefined, join(folder, "nested"))).toMatchObject({ file });
    mkdirSync(join(folder, "nested/deep/er"), { recursive: true });
    expect(await loadConfig(undefined, join(folder, "nested/deep/er"))).toMatchObject({ file });
  });

  test("need not be there", async () => {
    mkdirSync(join(folder, "empty"), { recursive: true });
    expect(await loadConfig(undefined, join(folder, "empty"))).toBeUndefined();
  });

  test.each([
    ["no-export.ts", "export const pools = {};", "has no default export. Write `export default defineConfig({ … })`."],
    ["nothing.yaml", "", "is empty; it needs at least the key pools."],
    ["throws.ts", 'throw new Error("boom");', "cannot be loaded: boom"],
    [
      "reads.ts",
      'import { readFileSync } from "node:fs"; export default readFileSync("/no/such/file");',
      "cannot be loaded: ENOENT: no such file or directory, open '/no/such/file'",
    ],
    ["unknown.toml", "x = 1", 'cannot be loaded: No loader specified for extension ".toml"'],
  ])("that is wrong is named with what is wrong: %s", async (name, content, expected) => {
    write(name, content);
    expect(await problem(name)).toBe(expected);
  });

  test.each([
    ["syntax.ts", "export default {"],
    ["syntax.json", "{"],
    ["syntax.yaml", "a: ["],
  ])("with a syntax error cannot be loaded: %s", async (name, content) => {
    write(name, content);
    expect(await problem(name)).toMatch(/^cannot be loaded: ./);
  });

  test("that is missing says so", async () => {
    await expect(loadConfig("missing.ts", folder)).rejects.toMatchObject({
      code: "INVALID_CONFIG",
      file: join(folder, "missing.ts"),
      message: `${join(folder, "missing.ts")} has a problem:\n  does not exist. Check the path given with --config.`,
    });
  });

  test("that is found and broken is an error, not overlooked", async () => {
    write("broken/davpool.config.ts", "export const nothing = 1;");
    await expect(loadConfig(undefined, join(folder, "broken"))).rejects.toThrow("has no default export");
  });
});

describe("plugins", () => {
  test.each([
    ["main", { main: "index.js" }],
    ["exports", { exports: "./index.js" }],
    ["import-only", { exports: { ".": { types: "./index.d.ts", import: "./index.js" } } }],
    ["nested", { exports: { import: { node: { default: "./index.js" } } } }],
  ])("are imported by package name as seen from the configuration: %s", async (name, manifest) => {
    write(`node_modules/${name}/package.json`, JSON.stringify({ name, type: "module", ...manifest }));
    write(`node_modules/${name}/index.js`, `export default "${name}";`);
    expect((await pluginImporter(folder)(name)) as object).toHaveProperty("default", name);
  });

  test("are imported by path", async () => {
    write("own/plugin.ts", "export default 1 as number;");
    expect(await pluginImporter(folder)("./own/plugin.ts")).toMatchObject({ default: 1 });
  });

  test("that are not installed or export nothing are an error", async () => {
    write("node_modules/none/package.json", JSON.stringify({ name: "none", exports: { "./other": "./other.js" } }));
    write("node_modules/requires/package.json", JSON.stringify({ name: "requires", exports: { require: null } }));
    const load = pluginImporter(folder);
    await expect(load("missing")).rejects.toThrow("Cannot find module 'missing'");
    await expect(load("none")).rejects.toThrow("package none exports nothing to import");
    await expect(load("requires")).rejects.toThrow("package requires exports nothing to import");
  });
});
