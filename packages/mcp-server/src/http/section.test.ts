import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readConfiguration } from "../configuration.ts";
import { temporaryFolder } from "../testing/davpool-process.test-support.ts";
import { httpSettings, type HttpSection } from "./section.ts";

/** What comes of the section when it stands in a configuration file. */
async function settingsOf(http: object) {
  await using folder = await temporaryFolder();
  const file = join(folder.path, "davpool.config.json");
  await writeFile(file, JSON.stringify({ pools: { files: { transport: "webdav" } }, http }));
  const { sections } = await readConfiguration({ file, environment: {} });
  return httpSettings(sections.http as HttpSection);
}

test.each([
  [{}, 10_000],
  [{ drain: 2_500 }, 2_500],
  [{ drain: 0 }, 0],
  [{ drain: "10s" }, 10_000],
  [{ drain: "1.5m" }, 90_000],
])("%j lets requests in flight end within %d ms", async (http, drain) => {
  expect((await settingsOf(http)).drain).toBe(drain);
});

test.each([-1, "soon", "10 s"])("drain: %j is no duration", async (drain) => {
  await expect(settingsOf({ drain })).rejects.toThrow("http.drain: must be a duration:");
});
