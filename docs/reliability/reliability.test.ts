import { readFile, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FAULTS } from "./faults.test-support.ts";
import { page } from "./page.test-support.ts";
import { DEADLINE, METHODS, WHERE, expected, type Method } from "./rules.test-support.ts";
import { openSite, run, type Site } from "./run.test-support.ts";

/*
 * Every fault that a server or the way to it can show, with every class of method, wherever the request may go.
 * The page shows these cases, so it is compared with them.
 */

const methods = Object.keys(METHODS) as Method[];

/** Milliseconds by which time may be noticed late: attempts and pauses end at the next tick. */
const LATE = 100;

describe.each(FAULTS)("$name", (fault) => {
  let site: Site;
  beforeAll(async () => {
    site = await openSite(fault);
  });
  afterAll(() => site[Symbol.asyncDispose]());

  describe.each(WHERE)("%s", (where) => {
    test.each(methods)("%s", async (method) => {
      const { took: wanted, ...rest } = expected(fault, method, where);
      const { took, ...found } = await run(site, fault, method, where);
      expect(found).toEqual(rest);
      expect(took).toBeLessThan(DEADLINE);
      expect(took).toBeGreaterThanOrEqual(wanted);
      expect(took).toBeLessThanOrEqual(wanted + LATE);
    });
  });
});

test("there are at least 250 cases", () => {
  expect(FAULTS.length * methods.length * WHERE.length).toBeGreaterThanOrEqual(250);
});

test("the page shows these cases", async () => {
  const file = new URL("../reliability.md", import.meta.url);
  const text = page();
  if (process.env.UPDATE_RELIABILITY) await writeFile(file, text);
  const shown = await readFile(file, "utf8").catch(() => "");
  expect(
    shown === text,
    "docs/reliability.md is out of date. Write it anew: UPDATE_RELIABILITY=1 npx vitest run docs/reliability",
  ).toBe(true);
});
