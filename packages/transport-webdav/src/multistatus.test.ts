import { describe, expect, test } from "vitest";
import { InvalidXmlError } from "./errors.ts";
import { MultistatusScan, type PartFailure } from "./multistatus.ts";

const DELETED = `<?xml version="1.0" encoding="utf-8"?>
<D:multistatus xmlns:D="DAV:">
  <D:response><D:href>/dav/ä/b</D:href><D:status>HTTP/1.1 423 Locked</D:status></D:response>
  <D:response><D:href>http://dav.example.com/dav/a/</D:href><D:status>HTTP/1.1 424 Failed Dependency</D:status></D:response>
  <D:response><D:href>/dav/c</D:href><D:status>HTTP/1.1 204 No Content</D:status></D:response>
</D:multistatus>`;

const PATCHED = `<multistatus xmlns="DAV:" xmlns:x="urn:x"><response><href>/dav/a</href>
  <propstat><prop><x:status>HTTP/1.1 500 not this one</x:status></prop><status>HTTP/1.1 403 Forbidden</status></propstat>
  <propstat><prop/><status>HTTP/1.1 424 Failed Dependency</status></propstat>
  <propstat><prop/><status>HTTP/1.1 200 OK</status></propstat>
  <responsedescription>HTTP/1.1 500</responsedescription></response></multistatus>`;

function scan(text: string | Uint8Array, withProperties = true, size = Infinity): readonly PartFailure[] {
  const bytes = Buffer.from(text);
  const found = new MultistatusScan(withProperties);
  for (let start = 0; start < bytes.byteLength; start += size) found.write(bytes.subarray(start, start + size));
  found.close();
  return found.failures;
}

test("failures of resources are found with whatever href they have", () => {
  expect(scan(DELETED)).toEqual([
    { href: "/dav/ä/b", status: 423 },
    { href: "http://dav.example.com/dav/a/", status: 424 },
  ]);
});

test("it does not matter where the answer is cut into pieces", () => {
  const bytes = Buffer.from(DELETED);
  const whole = scan(DELETED);
  expect(scan(DELETED, true, 1)).toEqual(whole);
  for (let cut = 1; cut < bytes.byteLength; cut++) {
    const found = new MultistatusScan(false);
    found.write(bytes.subarray(0, cut));
    found.write(bytes.subarray(cut));
    found.close();
    expect(found.failures).toEqual(whole);
  }
});

test("failures of properties count where properties were to be changed", () => {
  expect(scan(PATCHED, true)).toEqual([
    { href: "/dav/a", status: 403 },
    { href: "/dav/a", status: 424 },
  ]);
  expect(scan(PATCHED, false)).toEqual([]);
});

test("prefixes mean nothing, namespaces do", () => {
  const foreign = `<m xmlns="urn:other"><response><href>/a</href><status>HTTP/1.1 500 x</status></response></m>`;
  expect(scan(foreign)).toEqual([]);
  expect(scan(foreign.replace('xmlns="urn:other"', 'xmlns="DAV:"'))).toEqual([{ href: "/a", status: 500 }]);
});

test("one status may be that of several resources", () => {
  const several = `<multistatus xmlns="DAV:"><response><href>/a</href><href>/b</href><status>HTTP/1.1 423 x</status></response>
    <response><status>HTTP/1.1 500 x</status></response></multistatus>`;
  expect(scan(several)).toEqual([
    { href: "/a", status: 423 },
    { href: "/b", status: 423 },
    { href: "", status: 500 },
  ]);
});

test("a status is read out of a CDATA section, and none out of nonsense", () => {
  const having = (status: string) =>
    scan(`<multistatus xmlns="DAV:"><response><href>/a</href><status>${status}</status></response></multistatus>`);
  expect(having("<![CDATA[HTTP/1.1 403 no]]>")).toEqual([{ href: "/a", status: 403 }]);
  expect(having("")).toEqual([]);
  expect(having("500")).toEqual([]);
  expect(having("HTTP/2 507")).toEqual([{ href: "/a", status: 507 }]);
});

test("of many failures only the first thousand are kept, and the others are counted", () => {
  const response = (hrefs: number, statuses: number) =>
    `<multistatus xmlns="DAV:"><response>${"<href>/a</href>".repeat(hrefs)}${"<status>HTTP/1.1 500 x</status>".repeat(statuses)}</response></multistatus>`;
  for (const [hrefs, statuses] of [
    [1, 1_500],
    [1_500, 1],
    // 250 kB.
    [5_000, 5_000],
  ] as const) {
    const found = new MultistatusScan(true);
    found.write(Buffer.from(response(hrefs, statuses)));
    found.close();
    expect(found.failures).toHaveLength(1_000);
    expect(found.more).toBe(hrefs * statuses - 1_000);
  }
});

test("of a long href only the beginning is kept", () => {
  const href = `/${"a".repeat(100_000)}`;
  const text = `<multistatus xmlns="DAV:"><response><href>${href}</href><status>HTTP/1.1 500 x</status></response></multistatus>`;
  expect(scan(text)).toEqual([{ href: href.slice(0, 2_048), status: 500 }]);
});

describe("refused is", () => {
  test.each([
    ["a DOCTYPE", `<!DOCTYPE x [<!ENTITY e "e">]><x/>`, /DOCTYPE/],
    ["a bomb of depth", "<a>".repeat(65), /nested too deeply/],
    ["an answer that ends too early", DELETED.slice(0, -10), /not well-formed/],
    ["an answer that ends within a name", '<multistatus xmlns="DAV:"><resp', /not well-formed/],
    ["an empty answer", "", /not well-formed/],
    ["what is no XML", '{"a":1}', /not well-formed/],
    ["HTML", "<html><br></html>", /not well-formed/],
    ["an undeclared prefix", "<D:multistatus/>", /not well-formed/],
    ["an unknown entity", "<x>&e;</x>", /not well-formed/],
    ["what is not UTF-8", Buffer.from("<a>\xe4</a>", "latin1"), /not UTF-8/],
    ["UTF-16", Buffer.from("\ufeff<a/>", "utf16le"), /not UTF-8/],
  ])("%s", (_name, text, message) => {
    expect(() => scan(text)).toThrow(InvalidXmlError);
    expect(() => scan(text)).toThrow(message);
  });

  test("whatever comes after the first thing that was wrong", () => {
    const found = new MultistatusScan(true);
    expect(() => found.write(Buffer.from("<!DOCTYPE a>"))).toThrow(InvalidXmlError);
    expect(() => found.write(Buffer.from("<a/>"))).toThrow(/DOCTYPE/);
    expect(() => found.close()).toThrow(/DOCTYPE/);
  });
});
