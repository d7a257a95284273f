import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Clock } from "../contracts/clock.ts";
import { systemClock } from "../time/system-clock.ts";
import { filesOf } from "./import-anew.ts";
import { loadConfig, pluginImporter } from "./load-config.ts";

interface Reading {
  readonly config?: unknown;
  readonly problem?: string;
  readonly files: readonly string[];
}

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

/** Its limits have passed when somebody begins to wait. */
const hurried: Clock = { ...systemClock, after: (_ms, run) => systemClock.after(0, run) };

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
    ["throws.ts", '\nthrow new Error("boom");', "cannot be loaded: boom (at FOLDER/throws.ts:2)"],
    ["throws-text.ts", 'throw "boom";', "cannot be loaded: boom"],
    [
      "broken.json",
      '{\n "a": 1,\n b }',
      "cannot be loaded: Expected double-quoted property name in JSON at position 12 (line 3 column 2)",
    ],
    ["broken.yaml", "a: 1\n  b: [", "cannot be loaded: bad indentation of a mapping entry (at FOLDER/broken.yaml:2)"],
    [
      "reads.ts",
      'import { readFileSync } from "node:fs"; export default readFileSync("/no/such/file");',
      "cannot be loaded: ENOENT: no such file or directory, open '/no/such/file' (at FOLDER/reads.ts:1)",
    ],
    ["unknown.toml", "x = 1", 'cannot be loaded: No loader specified for extension ".toml"'],
  ])("that is wrong is named with what is wrong: %s", async (name, content, expected) => {
    write(name, content);
    expect(await problem(name)).toBe(expected.replace("FOLDER", realpathSync(folder)));
  });

  test.each([
    ["syntax.ts", "export default {"],
    ["syntax.json", "{"],
    ["syntax.yaml", "a: ["],
  ])("with a syntax error cannot be loaded: %s", async (name, content) => {
    write(name, content);
    expect(await problem(name)).toMatch(/^cannot be loaded: ./);
  });

  test("that waits for ever is not waited for", async () => {
    write("waits.mjs", "await new Promise(() => {}); export default {};");
    const words = "it had not been evaluated after 30000 ms. Look for an await at its top level that never ends";
    await expect(loadConfig("waits.mjs", folder, hurried)).rejects.toThrow(`cannot be loaded: ${words}`);
    await expect(pluginImporter(folder, hurried)("./waits.mjs")).rejects.toThrow(words);
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

describe("a configuration file that was read before", () => {
  const read = async (name: string) => (await loadConfig(name, folder))?.config;

  /** Reads it once for each text of another file, where modules are loaded by the platform and not by the test runner. */
  async function readings(name: string, path: string, texts: readonly string[]): Promise<readonly Reading[]> {
    const script = `
      import { writeFileSync } from "node:fs";
      import { filesOf } from "./import-anew.ts";
      import { loadConfig } from "./load-config.ts";
      const [folder, name, path, ...texts] = process.argv.slice(1);
      const readings = [];
      for (const text of texts) {
        writeFileSync(path, text);
        const read = await loadConfig(name, folder).then(({ config }) => ({ config }), (error) => ({ problem: error.message }));
        readings.push({ ...read, files: filesOf(folder + "/" + name) });
      }
      console.log(JSON.stringify(readings));
    `;
    const parameters = ["--input-type=module", "-e", script, folder, name, path, ...texts];
    const { stdout } = await promisify(execFile)(process.execPath, parameters, { cwd: import.meta.dirname });
    return JSON.parse(stdout) as readonly Reading[];
  }

  test.each([
    ["again.ts", "export default { at: 1 as number };", "export default { at: 2 as number };"],
    ["again.mts", "export default { at: 1 };", "export default { at: 2 };"],
    ["again.js", "export default { at: 1 };", "export default { at: 2 };"],
    ["again.mjs", "export default { at: 1 };", "export default { at: 2 };"],
    ["again.json", '{ "at": 1 }', '{ "at": 2 }'],
    ["again.yaml", "at: 1", "at: 2"],
    ["commonjs/again.ts", "export default { at: 1 };", "export default { at: 2 };"],
    ["commonjs/again.js", "module.exports = { at: 1 };", "module.exports = { at: 2 };"],
  ])("is read anew: %s", async (name, before, after) => {
    write("commonjs/package.json", '{ "name": "scripts" }');
    write(name, before);
    expect(await read(name)).toEqual({ at: 1 });
    write(name, after);
    expect(await read(name)).toEqual({ at: 2 });
    write(name, before);
    expect(await read(name)).toEqual({ at: 1 });
  });

  test("is read anew with what it imports by relative path, and not with packages", async () => {
    write("node_modules/steady/package.json", '{ "name": "steady", "type": "module", "exports": "./index.js" }');
    write("node_modules/steady/index.js", "export const born = process.hrtime.bigint().toString();");
    const list = (items: string) => `import { born } from "steady"; export const list = [${items}]; export { born };`;
    const inner = write("parts/inner.mts", 'export { list, born } from "./list.ts";');
    const file = write("imports.ts", 'import { list, born } from "./parts/inner.mts"; export default { list, born };');
    const path = join(folder, "parts/list.ts");
    const [first, second, third] = await readings("imports.ts", path, ["1 as number", "", "2, 3"].map(list));
    expect(first).toMatchObject({ config: { list: [1] }, files: [file, inner, path] });
    const { born } = (first as Reading).config as { born: string };
    expect(second).toEqual({ config: { list: [], born }, files: [file, inner, path] });
    expect(third).toEqual({ config: { list: [2, 3], born }, files: [file, inner, path] });
  });

  test("is read anew with what it requires by relative path", async () => {
    write("commonjs/package.json", '{ "name": "scripts" }');
    const file = write("commonjs/requires.js", 'module.exports = { at: require("./required.js") };');
    const path = join(folder, "commonjs/required.js");
    const read = await readings(
      "commonjs/requires.js",
      path,
      [1, 2, 3].map((at) => `module.exports = ${String(at)};`),
    );
    expect(read).toEqual([1, 2, 3].map((at) => ({ config: { at }, files: [file, path] })));
  });

  test("may have been wrong, or come to be", async () => {
    const file = write("wrong.ts", 'import { at } from "./wrong-part.ts"; export default { at };');
    const path = join(folder, "wrong-part.ts");
    const texts = ["export {", "export const at = 1;", "export const at = ;", "export const at = 2;"];
    const [first, second, third, fourth] = await readings("wrong.ts", path, texts);
    expect(first).toEqual({ problem: expect.stringContaining("cannot be loaded: "), files: [file, path] });
    expect(second).toEqual({ config: { at: 1 }, files: [file, path] });
    expect(third).toEqual({ problem: expect.stringContaining("cannot be loaded: "), files: [file, path] });
    expect(fourth).toEqual({ config: { at: 2 }, files: [file, path] });
  });

  test("may be a link that leads elsewhere now", async () => {
    write("linked/one.ts", "export default { at: 1 as number };");
    write("linked/two.ts", "export default { at: 2 as number };");
    const link = join(folder, "linked/link.ts");
    symlinkSync("one.ts", link);
    expect(await read("linked/link.ts")).toEqual({ at: 1 });
    rmSync(link);
    symlinkSync("two.ts", link);
    expect(await read("linked/link.ts")).toEqual({ at: 2 });
    expect(filesOf(link)).toEqual([link]);
  });

  test("of data alone is made of itself", () => {
    expect(filesOf("/etc/davpool.config.yaml")).toEqual(["/etc/davpool.config.yaml"]);
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
    await expect(load("missing")).rejects.toThrow(/^package missing is not installed$/);
    await expect(load("@none/missing/part")).rejects.toThrow(/^package @none\/missing\/part is not installed$/);
    await expect(load("./missing.ts")).rejects.toThrow(`there is no file ${join(folder, "missing.ts")}`);
    await expect(load("none")).rejects.toThrow("package none exports nothing to import");
    await expect(load("requires")).rejects.toThrow("package requires exports nothing to import");
  });
});
