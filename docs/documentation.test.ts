import { execFile, execFileSync } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { EXIT, readConfiguration, runCli } from "@davpool/mcp-server";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

/*
 * Whatever a page shows is tried: programs run, configurations are checked, commands exist, and the transcript on the
 * first page is what the demo prints.
 */

const root = fileURLToPath(new URL("../", import.meta.url));
const run = promisify(execFile);

interface Block {
  readonly page: string;
  readonly line: number;
  readonly language: string;
  readonly text: string;
}

const pages = globSync("**/*.md", {
  cwd: root,
  exclude: ["**/node_modules/**", "**/dist/**", "docs/reference/**", ".changeset/**"],
}).toSorted();

function blocksOf(page: string): Block[] {
  const source = readFileSync(join(root, page), "utf8");
  return [...source.matchAll(/^```(\w*)[^\n]*\n(.*?)^```$/gms)].map((match) => ({
    page,
    line: source.slice(0, match.index).split("\n").length,
    language: match[1] ?? "",
    text: match[2] ?? "",
  }));
}

const blocks = pages.flatMap(blocksOf);
const inLanguage = (language: string) => blocks.filter((block) => block.language === language);
const titled = (some: readonly Block[]) => some.map((block) => [`${block.page}:${block.line}`, block] as const);

describe("programs and configurations", () => {
  let folder: string;
  const fileOf = new Map<Block, string>();

  beforeAll(async () => {
    await mkdir(join(root, "examples", ".blocks"), { recursive: true });
    // Inside the examples, so that their imports are found as a user's would be.
    folder = await mkdtemp(join(root, "examples", ".blocks", "run-"));
    for (const [index, block] of inLanguage("ts").entries()) {
      const file = join(folder, `block-${index}.ts`);
      fileOf.set(block, file);
      await writeFile(file, block.text);
    }
    await writeFile(
      join(folder, "tsconfig.json"),
      JSON.stringify({
        extends: join(root, "tsconfig.base.json"),
        compilerOptions: { noEmit: true },
        include: ["*.ts"],
      }),
    );
  });
  afterAll(() => rm(folder, { recursive: true }));

  test("have right types", () => {
    const typed = execFileSync(join(root, "node_modules", ".bin", "tsc"), ["-p", folder], { encoding: "utf8" });
    expect(typed).toBe("");
  });

  test.each(titled(inLanguage("ts")))("%s runs", async (_title, block) => {
    const file = fileOf.get(block) as string;
    if (/^export default defineConfig/m.test(block.text)) {
      const config = await readConfiguration({ file, environment: {} });
      expect(config.pools.length).toBeGreaterThan(0);
    } else await run(process.execPath, [file], { cwd: folder });
  });
});

test.each(titled(inLanguage("json")))("%s is JSON", (_title, block) => {
  expect(() => JSON.parse(block.text) as unknown).not.toThrow();
});

test.each(titled(inLanguage("sh")))("%s names commands that exist", async (_title, block) => {
  const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    scripts: Record<string, string>;
  };
  for (const command of block.text.trim().split("\n")) {
    const [program, first = "", second = ""] = command.split(/\s+/);
    if (program === "npm" && first === "run") expect(scripts, command).toHaveProperty([second]);
    else if (program === "npm" && first === "test") expect(scripts).toHaveProperty("test");
    else if (program === "npx" && first === "davpool") {
      const { signal } = new AbortController();
      expect(await runCli([second, "--help"], { out() {}, error() {} }, signal), command).toBe(EXIT.ok);
    } else expect(command).toMatch(/^(npm install |export DAVPOOL_SECRET_KEY=|openssl rand )/);
  }
});

test("the first page shows what the demo prints", async () => {
  const { stdout } = await run(process.execPath, [join(root, "examples", "demo", "demo.ts")]);
  const readme = readFileSync(join(root, "README.md"), "utf8");
  const [, shown] = /<!-- demo transcript -->\n+```text\n(.*?)```/s.exec(readme) ?? [];
  expect(shown).toBe(stdout);
});
