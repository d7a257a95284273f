import { expect, test } from "vitest";
import { prefixed } from "./addresses.ts";
import { withAddresses, withUiAddresses } from "./links.ts";

test("the address of a tool's user interface is the one that the list of resources shows", () => {
  const addresses = prefixed("maps", new Set());
  const shown = addresses.shown("ui://view");
  const tool = {
    name: "map",
    _meta: { ui: { resourceUri: "ui://view", visibility: ["app"] }, "ui/resourceUri": "ui://view" },
  };
  const meta = { ui: { resourceUri: shown, visibility: ["app"] }, "ui/resourceUri": shown };
  expect(withUiAddresses(tool, addresses)).toEqual({ name: "map", _meta: meta });
  expect(withAddresses({ content: [], _meta: tool._meta }, addresses)).toEqual({ content: [], _meta: meta });
  expect(addresses.original(shown)).toBe("ui://view");
  const plain = { name: "plain", _meta: { other: 1 } };
  expect(withUiAddresses(plain, addresses)).toBe(plain);
});
