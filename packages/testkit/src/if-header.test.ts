import { describe, expect, test } from "vitest";
import { evaluateIf, parseIfHeader, submittedTokens } from "./if-header.ts";

const subject = { hasToken: (token: string) => token === "urn:here", hasEtag: (etag: string) => etag === '"1"' };

function holds(header: string): boolean {
  const lists = parseIfHeader(header);
  if (lists === undefined) throw new Error(`malformed: ${header}`);
  return evaluateIf(lists, (resource) => (resource === "/elsewhere" ? undefined : subject));
}

describe("an If header", () => {
  test("holds when all conditions of one list hold", () => {
    expect(holds("(<urn:here>)")).toBe(true);
    expect(holds('(<urn:here> ["1"])')).toBe(true);
    expect(holds('(<urn:here> ["2"])')).toBe(false);
    expect(holds('(["2"]) (<urn:here>)')).toBe(true);
    expect(holds("(<urn:other>)")).toBe(false);
  });

  test("can be negated", () => {
    expect(holds("(Not <DAV:no-lock>)")).toBe(true);
    expect(holds('(<urn:here> not ["1"])')).toBe(false);
    expect(holds("(Not<urn:here>)")).toBe(false);
  });

  test("can be tagged with another resource, and fails for one of another server", () => {
    expect(parseIfHeader("</a> (<urn:x>) (<urn:y>) </b> (<urn:z>)")?.map(({ resource }) => resource)).toEqual([
      "/a",
      "/a",
      "/b",
    ]);
    expect(holds("</elsewhere> (<urn:here>)")).toBe(false);
    expect(holds("</elsewhere> (Not <urn:here>)")).toBe(true);
  });

  test("compares ETags strongly", () => {
    expect(holds('([W/"1"])')).toBe(false);
  });

  test("submits every token it names", () => {
    const lists = parseIfHeader('(<urn:a> ["1"]) (Not <urn:b>)') ?? [];
    expect([...submittedTokens(lists)]).toEqual(["urn:a", "urn:b"]);
  });

  test.each(["", "urn:x", "()", "(urn:x)", "<urn:x>", "(<urn:x>) </a> (<urn:y>)", "(<urn:x>", "(<urn:x>) rest"])(
    "is malformed: %j",
    (header) => {
      expect(parseIfHeader(header)).toBeUndefined();
    },
  );
});
