import { expect, test } from "vitest";
import { placeOf } from "./place-of.ts";

function thrown(stack: string, message = "boom"): Error {
  return Object.assign(new Error(message), { stack });
}

test.each([
  [
    "a frame",
    "Error: boom\n    at create (file:///srv/my%20plugin.js:3:7)\n    at file:///srv/other.js:1:1",
    "/srv/my plugin.js:3",
  ],
  ["a frame without a name", "Error: boom\n    at file:///srv/plugin.ts?reading=2:3:7", "/srv/plugin.ts:3"],
  ["a frame of CommonJS", "Error: boom\n    at Object.<anonymous> (/srv/plugin.cjs:12:1)", "/srv/plugin.cjs:12"],
  [
    "what the parser shows",
    "file:///srv/plugin.ts:2\n  pools: {\n\nSyntaxError: boom\n    at node:internal/x:1:1",
    "/srv/plugin.ts:2",
  ],
  ["the platform's own code alone", "Error: boom\n    at node:internal/modules/esm/loader:647:26", undefined],
  ["an address of no file here", "Error: boom\n    at file://host/srv/plugin.js:1:1", "file://host/srv/plugin.js:1"],
])("is read from %s", (_what, stack, expected) => {
  expect(placeOf(thrown(stack))).toBe(expected);
});

test("is not taken from the message, nor from davpool itself and those who called it", () => {
  const own = `${new URL("place-of.ts", import.meta.url).href}:1:1`;
  expect(placeOf(thrown("Error: see /etc/x:1\n    at file:///srv/a.js:4:1", "see /etc/x:1"))).toBe("/srv/a.js:4");
  expect(placeOf(thrown(`Error: boom\n    at file:///srv/a.js:4:1\n    at ${own}`))).toBe("/srv/a.js:4");
  expect(placeOf(thrown(`Error: boom\n    at ${own}\n    at file:///srv/a.js:4:1`))).toBeUndefined();
});

test("is looked for among some files only, where they are given", () => {
  const error = thrown("Error: boom\n    at file:///srv/other.js:1:1\n    at file:///srv/own.js:2:1");
  expect(placeOf(error, new Set(["/srv/own.js"]))).toBe("/srv/own.js:2");
  expect(placeOf(error, new Set())).toBeUndefined();
});

test.each([undefined, "boom", Object.assign(new Error("boom"), { stack: undefined })])(
  "of %s is not known",
  (error) => {
    expect(placeOf(error)).toBeUndefined();
  },
);
