import { describe, expect, test } from "vitest";
import { InvalidPathError, InvalidRequestError } from "./errors.ts";
import { METHODS } from "./methods.ts";
import { baseOf } from "./paths.ts";
import { requestHeaders } from "./request-head.ts";

const base = baseOf("https://eu.example.com/dav/");

function sent(headers: Record<string, string>, method = "GET", at = base): readonly string[] {
  return requestHeaders(at, { method, path: "/a", headers }, ["user-agent", "davpool"]).slice(2);
}

test("headers go out as they were given", () => {
  expect(sent({ Depth: "1", "X-Own": "ä" })).toEqual(["Depth", "1", "X-Own", "ä"]);
});

test("a caller's User-Agent stands instead of davpool's", () => {
  const headers = requestHeaders(base, { method: "GET", path: "/", headers: { "User-Agent": "mine" } }, [
    "user-agent",
    "davpool",
  ]);
  expect(headers).toEqual(["user-agent", "mine"]);
});

test("a header that stands twice, in any spelling, is refused", () => {
  expect(() => sent({ Destination: "/b", destination: "/c" }, "COPY")).toThrow(/given twice/);
});

test("every method of WebDAV is sent, and no other", () => {
  for (const method of METHODS) expect(() => sent({ Destination: "/b" }, method)).not.toThrow();
  for (const method of ["get", "CONNECT", "TRACE", "", "GET / HTTP/1.1\r\nX: y", "constructor"])
    expect(() => sent({}, method)).toThrow(InvalidRequestError);
});

test.each([
  "Authorization",
  "HOST",
  "content-length",
  "Transfer-Encoding",
  "Connection",
  "Keep-Alive",
  "Expect",
  "Upgrade",
  "TE",
  "Trailer",
  "Proxy-Authorization",
  "Proxy-Connection",
])("%s belongs to the connection and is refused", (name) => {
  expect(() => sent({ [name]: "x" })).toThrow(/set by davpool/);
});

test.each(["", "a b", "a:b", "a\r\nb", "grün", "a\0"])("%j is no header name", (name) => {
  expect(() => sent({ [name]: "x" })).toThrow(/is not a header name/);
});

test.each(["a\r\nInjected: 1", "a\nb", "a\rb", "a\0b", "日本", "\x7f"])("%j is no header value", (value) => {
  expect(() => sent({ "X-Own": value })).toThrow(/cannot be sent/);
  expect(() => sent({ "Lock-Token": value })).toThrow(/cannot be sent/);
  expect(() => sent({ If: value })).toThrow(/cannot be sent/);
});

describe("Destination", () => {
  test.each([
    ["/b/c.txt", "https://eu.example.com/dav/b/c.txt"],
    ["b", "https://eu.example.com/dav/b"],
    ["/日本 ü.txt", "https://eu.example.com/dav/%E6%97%A5%E6%9C%AC%20%C3%BC.txt"],
    ["/100%25", "https://eu.example.com/dav/100%25"],
    ["https://eu.example.com/dav/x%20y", "https://eu.example.com/dav/x%20y"],
    ["HTTPS://EU.example.com:443/dav/x/", "https://eu.example.com/dav/x/"],
  ])("%j becomes %s", (value, wire) => {
    expect(sent({ Destination: value }, "MOVE")).toEqual(["Destination", wire, "overwrite", "F"]);
  });

  test("is rebuilt for each server", () => {
    const other = baseOf("http://us.example.com:8080/files/");
    const headers = ["destination", "http://us.example.com:8080/files/b", "Overwrite", "T"];
    expect(sent({ destination: "/b", Overwrite: "t" }, "COPY", other)).toEqual(headers);
  });

  test.each([
    "https://us.example.com/dav/x",
    "http://eu.example.com/dav/x",
    "https://eu.example.com/other/x",
    "https://eu.example.com/dav/../x",
    "https://eu.example.com/dav/a?b",
    "https://eu.example.com/dav/a#b",
    "/../x",
    "/a%2f..%2fb",
    "/a\r\nX: y\\",
  ])("%j is refused", (value) => {
    expect(() => sent({ Destination: value }, "MOVE")).toThrow(InvalidPathError);
  });

  test("is needed by COPY and MOVE", () => {
    expect(() => sent({}, "MOVE")).toThrow(/MOVE needs a Destination/);
    expect(() => requestHeaders(base, { method: "COPY", path: "/a" }, [])).toThrow(InvalidRequestError);
  });
});

describe("lock tokens", () => {
  test.each(["urn:uuid:1", "<urn:uuid:1>", " <urn:uuid:1> "])("%j goes out in brackets", (token) => {
    expect(sent({ "Lock-Token": token }, "UNLOCK")).toEqual(["Lock-Token", "<urn:uuid:1>"]);
  });

  test.each([
    ["urn:uuid:1", "(<urn:uuid:1>)"],
    ["<urn:uuid:1>", "(<urn:uuid:1>)"],
    ["(<urn:uuid:1>)", "(<urn:uuid:1>)"],
    ['(<t> ["e>("]) (Not <DAV:no-lock>)', '(<t> ["e>("]) (Not <DAV:no-lock>)'],
    ["</a b> (<t>)", "<https://eu.example.com/dav/a%20b> (<t>)"],
    [
      "<https://eu.example.com/dav/a> (<t>) </c> (<u>)",
      "<https://eu.example.com/dav/a> (<t>) <https://eu.example.com/dav/c> (<u>)",
    ],
  ])("If: %s goes out as %s", (value, wire) => {
    expect(sent({ If: value }, "PUT")).toEqual(["If", wire]);
  });

  test("an If about another server's resource is refused", () => {
    expect(() => sent({ If: "<https://us.example.com/dav/a> (<t>)" }, "PUT")).toThrow(InvalidPathError);
  });
});
