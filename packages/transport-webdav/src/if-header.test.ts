import { expect, test } from "vitest";
import { InvalidRequestError } from "./errors.ts";
import { entityTags, ifParts } from "./if-header.ts";

const list = (text: string, tokens: string[], tags: string[] = []) => ({ list: text, tokens, tags });

test.each([
  ["urn:1", [list("(<urn:1>)", ["urn:1"])]],
  [" <urn:1> ", [list("(<urn:1>)", ["urn:1"])]],
  ["(<urn:1>)(<urn:2>)", [list("(<urn:1>)", ["urn:1"]), list("(<urn:2>)", ["urn:2"])]],
  ["</a> (<t>)", [{ resource: "/a" }, list("(<t>)", ["t"])]],
  ['(Not <t> ["a)>("] [W/"b"])', [list('(Not <t> ["a)>("] [W/"b"])', ["t"], ['"a)>("', 'W/"b"'])]],
])("%s is read", (value, parts) => {
  expect(ifParts(value)).toEqual(parts);
});

test.each([
  ["(<a>", /no closing parenthesis/],
  ["(<a", /"<" is not closed/],
  ['(["a])', /is not closed/],
  ["</a (<t>)", /neither/],
  ["x (<t>)", /"x \(<t>\)" is neither/],
])("%s is refused", (value, message) => {
  expect(() => ifParts(value)).toThrow(InvalidRequestError);
  expect(() => ifParts(value)).toThrow(message);
});

test.each([
  ['"a", W/"b"', ['"a"', 'W/"b"']],
  ["*", []],
  ['"open', []],
])("entity tags in %s are found", (value, tags) => {
  expect(entityTags(value)).toEqual(tags);
});
