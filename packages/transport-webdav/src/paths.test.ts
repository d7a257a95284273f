import { describe, expect, test } from "vitest";
import { InvalidPathError } from "./errors.ts";
import { baseOf, below, confine } from "./paths.ts";

const base = baseOf("https://dav.example.com/remote.php/dav");

describe("the base of a server", () => {
  test.each([
    ["https://a.example", "https://a.example", "/"],
    ["https://a.example/", "https://a.example", "/"],
    ["http://a.example:8080/dav", "http://a.example:8080", "/dav/"],
    ["http://a.example/dav/", "http://a.example", "/dav/"],
    ["http://[::1]:81/d av/", "http://[::1]:81", "/d%20av/"],
    ["http://a.example/x/../y", "http://a.example", "/y/"],
  ])("of %s is %s and %s", (url, origin, path) => {
    expect(baseOf(url)).toEqual({ origin, path });
  });

  test("is nothing for what is no URL", () => {
    expect(() => baseOf("dav.example.com")).toThrow(TypeError);
  });
});

describe("a path below the base", () => {
  test.each([
    ["", ""],
    ["/", ""],
    ["//", ""],
    ["file.txt", "file.txt"],
    ["/file.txt", "file.txt"],
    ["/folder/file.txt", "folder/file.txt"],
    ["/folder/", "folder/"],
    ["folder//", "folder/"],
    ["//host/share", "host/share"],
    ["/a//b", "a/b"],
    ["/with space.txt", "with%20space.txt"],
    ["/with%20space.txt", "with%20space.txt"],
    ["/grün/日本.txt", "gr%C3%BCn/%E6%97%A5%E6%9C%AC.txt"],
    ["/gr%c3%bcn", "gr%C3%BCn"],
    ["/what?.txt", "what%3F.txt"],
    ["/a?b=c#d", "a%3Fb%3Dc%23d"],
    ["/100%25.txt", "100%25.txt"],
    ["/%252e%252e/x", "%252e%252e/x"],
    ["/.hidden", ".hidden"],
    ["/...", "..."],
    ["/a/..b", "a/..b"],
    ["/a..", "a.."],
    ["/a:b", "a%3Ab"],
    ["http:/evil.example/x", "http%3A/evil.example/x"],
    ["/..;/x", "..%3B/x"],
    ["/line\r\nbreak", "line%0D%0Abreak"],
    ["/😀", "%F0%9F%98%80"],
  ])("%j goes on the wire as %j", (path, wire) => {
    expect(confine(base, path)).toBe(`/remote.php/dav/${wire}`);
  });

  test.each([
    "..",
    ".",
    "/..",
    "/../etc/passwd",
    "/a/../../b",
    "/a/..",
    "/a/./b",
    "/%2e",
    "/%2e%2e/x",
    "/%2E%2e",
    "/.%2e/x",
    "/..%2f..%2fetc",
    "/a%2fb",
    "/a%2Fb",
    "/..\\x",
    "/a\\b",
    "/a%5cb",
    "/..%5c..%5cx",
    "/a\0b",
    "/a%00b",
    "/100%",
    "/%zz",
    "/%c3",
    "/%ff",
    "/half \ud800 pair",
    "https://evil.example/x",
    "HTTP://evil.example",
    "https://dav.example.com/remote.php/dav/x",
    "file:///etc/passwd",
  ])("%j is refused", (path) => {
    expect(() => confine(base, path)).toThrow(InvalidPathError);
  });

  test("says what to write instead", () => {
    expect(() => confine(base, "/a/../b")).toThrow(/The path "\/a\/\.\.\/b" is refused.*without dot segments/);
    expect(() => confine(base, "https://x.example/")).toThrow(/Give the path below the server's base/);
    expect(() => confine(base, "/5%")).toThrow(/as %25/);
  });

  test("never leaves the base, whatever it is made of", () => {
    const pieces = [
      "a",
      ".",
      "..",
      "/",
      "%2e",
      "%2f",
      "%5c",
      "\\",
      "%",
      "25",
      "é",
      " ",
      "?",
      "#",
      "~",
      "-",
      "://",
      "\0",
    ];
    const paths = [...made(pieces, 20_000)];
    const sent = paths.flatMap((path) => confined(path) ?? []);
    expect(sent.length).toBeGreaterThan(1_000);
    expect(sent.length).toBeLessThan(paths.length - 1_000);
    for (const wire of sent) {
      const { pathname, search, hash } = new URL(wire, base.origin);
      // A URL parser finds nothing to fold, and a server that unescapes nothing that leads elsewhere.
      expect(pathname + search + hash).toBe(wire);
      expect(wire.startsWith(base.path)).toBe(true);
      const names = wire.slice(base.path.length).split("/").map(decodeURIComponent);
      expect(names.some((name) => name === "." || name === ".." || /[/\\\0]/.test(name))).toBe(false);
    }
  });

  test("is the same by the short way for plain names and by the long way", () => {
    for (const path of made(["a", "B", "7", ".", "_", "~", "-", "/"], 5_000)) {
      // An escaped letter sends it the long way; it stands for itself in the end.
      const long = path.replace(/[aB7]/, (letter) => `%${letter.charCodeAt(0).toString(16)}`);
      expect(confined(path)).toBe(confined(long));
    }
  });
});

describe("what a server names", () => {
  test.each([
    ["/remote.php/dav/x", "/x"],
    ["https://dav.example.com/remote.php/dav/x/", "/x/"],
    ["https://dav.example.com:443/remote.php/dav/", "/"],
    ["x", "/from/x"],
    ["../other", "/other"],
    ["/remote.php/dav/%c3%bc", "/%C3%BC"],
    ["/remote%2Ephp/dav/x", "/x"],
    ["/remote.php/dav/a/../b", "/b"],
  ])("%j is %j below the base", (location, path) => {
    expect(below(base, location, "/remote.php/dav/from/here")).toBe(path);
  });

  test.each([
    "/",
    "/remote.php/dav",
    "/remote.php/davx/x",
    "/remote.php/dav/../x",
    "/remote.php/dav/%2e%2e/x",
    "/remote.php/dav/..%2fx",
    "/remote.php/dav/a%5cb",
    "/remote.php/dav/x?login=1",
    "/remote.php/dav/x#y",
    "/remote.php/dav/%zz",
    "//evil.example/remote.php/dav/x",
    "\\\\evil.example\\remote.php\\dav\\x",
    "http://dav.example.com/remote.php/dav/x",
    "https://dav.example.com:8443/remote.php/dav/x",
    "https://dav.example.com.evil.example/remote.php/dav/x",
    "https://",
  ])("%j is not followed", (location) => {
    expect(below(base, location, "/remote.php/dav/from/here")).toBeUndefined();
  });
});

/** Strings put together from pieces, the same in every run. */
function* made(pieces: readonly string[], count: number): Generator<string> {
  let state = 1;
  const next = (limit: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % limit;
  };
  for (let index = 0; index < count; index++)
    yield Array.from({ length: 1 + next(6) }, () => pieces[next(pieces.length)]).join("");
}

/** Undefined for a path that is refused. */
function confined(path: string): string | undefined {
  try {
    return confine(base, path);
  } catch (error) {
    if (error instanceof InvalidPathError) return undefined;
    throw error;
  }
}
