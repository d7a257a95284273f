import { expect, test } from "vitest";
import { decodeTarget, normalizeBasePath, parentOf, toHref } from "./paths.ts";

test("a target is decoded and made relative to the base", () => {
  expect(decodeTarget("/dav/with%20space/%C3%A9/?query", "/dav/")).toEqual({
    ok: true,
    path: "/with space/é",
    trailingSlash: true,
  });
  expect(decodeTarget("http://host:1/dav/a", "/dav/")).toMatchObject({ path: "/a", trailingSlash: false });
  expect(decodeTarget("/dav", "/dav/")).toMatchObject({ ok: true, path: "/" });
  expect(decodeTarget("/a/b", "/")).toMatchObject({ ok: true, path: "/a/b" });
});

test.each(["/dav/../etc", "/dav/%2e%2E/etc", "/dav/a%2fb", "/dav/a%5cb", "/dav/a%00", "/dav/%zz", "/dav/a#b"])(
  "%s is refused, not resolved",
  (target) => {
    expect(decodeTarget(target, "/dav/")).toEqual({ ok: false, reason: "malformed", path: target });
  },
);

test("a path outside the base is told apart", () => {
  expect(decodeTarget("/davx/a", "/dav/")).toEqual({ ok: false, reason: "outside-base", path: "/davx/a" });
});

test("hrefs are encoded by segment, and only collections end with a slash", () => {
  expect(toHref("/dav/", "/a b/ü&.txt", false)).toBe("/dav/a%20b/%C3%BC%26.txt");
  expect(toHref("/dav/", "/a", true)).toBe("/dav/a/");
  expect(toHref("/dav/", "/", true)).toBe("/dav/");
});

test("base paths come in all spellings", () => {
  expect(["dav", "/dav", "/dav/", "", "/"].map(normalizeBasePath)).toEqual(["/dav/", "/dav/", "/dav/", "/", "/"]);
  expect(["/a/b", "/a", "/"].map(parentOf)).toEqual(["/a", "/", "/"]);
});
