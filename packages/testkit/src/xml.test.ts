import { expect, test } from "vitest";
import { davChild, parseXml, serializeXml } from "./xml.ts";

test("an element that is written stands alone and means the same", () => {
  const source = `<x:a xmlns:x="urn:x" xmlns:y="urn:y" y:k="&lt;1&gt;" plain="2" xml:lang="en">t &amp; u<y:b/><![CDATA[<c>]]></x:a>`;
  const parsed = parseXml(source);
  expect(parseXml(serializeXml(parsed))).toEqual(parsed);
  expect(serializeXml(parsed)).toContain('<b xmlns="urn:y"/>');
});

test("elements without a namespace stay without one", () => {
  expect(serializeXml(parseXml('<a xmlns="urn:x"><b xmlns="">1</b></a>'))).toBe(
    '<a xmlns="urn:x"><b xmlns="">1</b></a>',
  );
});

test("DAV elements are found whatever their prefix", () => {
  expect(davChild(parseXml('<Z:propfind xmlns:Z="DAV:"><Z:prop/></Z:propfind>'), "prop")).toBeDefined();
  expect(davChild(parseXml('<propfind xmlns="urn:other"><prop/></propfind>'), "prop")).toBeUndefined();
});

test.each([
  "",
  "<a>",
  "<a></b>",
  "<a/><b/>",
  "<x:a/>",
  '<a xmlns:x=""/>',
  "<!DOCTYPE a><a/>",
  '<!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>',
])("%j is not accepted", (text) => {
  expect(() => parseXml(text)).toThrow(Error);
});
