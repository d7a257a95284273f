import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { BIN, temporaryFolder } from "./testing/davpool-process.test-support.ts";

const CORE = new URL("../../core/src/index.ts", import.meta.url).href;
/** More than any pipe holds. */
const LENGTH = 1_000_000;

/** A configuration whose schema is long, and which says "full" as soon as somebody has to read on. */
const CONFIGURATION = `
import { definePlugin } from ${JSON.stringify(CORE)};

const look = () => void (process.stdout.writableNeedDrain ? process.stderr.write("full") : setImmediate(look));
look();

const options = { type: "object", properties: { text: { type: "string", description: "x".repeat(${LENGTH}) } } };
const long = definePlugin({ kind: "selector", name: "long", options, create: () => ({ select: ([first]) => first }) });
export default { plugins: [long], pools: { files: { transport: "webdav" } } };
`;

/** A command with much to say, once it waits for its reader or has ended without. */
async function talkative(folder: string) {
  await writeFile(join(folder, "davpool.config.mjs"), CONFIGURATION);
  const child = spawn(process.execPath, [BIN, "schema"], { cwd: folder });
  const ended = once(child, "exit");
  await Promise.race([once(child.stderr, "data"), ended]);
  return { child, ended };
}

test("all that the command says arrives, however late its reader comes", async () => {
  await using folder = await temporaryFolder();
  const { child, ended } = await talkative(folder.path);
  const said = await text(child.stdout);
  expect(said.length).toBeGreaterThan(LENGTH);
  expect(JSON.parse(said)).toHaveProperty("title", "davpool configuration");
  expect(await ended).toEqual([0, null]);
});

test("the command ends when its reader goes", async () => {
  await using folder = await temporaryFolder();
  const { child, ended } = await talkative(folder.path);
  child.stdout.destroy();
  expect(await ended).toEqual([0, null]);
});

test("the command ends when it is told to, although nobody reads", async () => {
  await using folder = await temporaryFolder();
  const { child, ended } = await talkative(folder.path);
  child.kill("SIGTERM");
  expect(await ended).toEqual([0, null]);
});
