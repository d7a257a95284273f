import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { createToken, hashToken, parseHash } from "./token-hash.ts";

test("a created token has 256 random bits, and its hash is the one that it is looked up by", () => {
  const { token, hash } = createToken();
  expect(token).toMatch(/^dvp_[\w-]{43}$/);
  expect(hash).toMatch(/^sha256:[\w-]{43}$/);
  expect(parseHash(hash)).toBe(hashToken(token));
  expect(createToken().token).not.toBe(token);
});

test("a hash may be written in hex or base64url", () => {
  const digest = createHash("sha256").update("x").digest();
  for (const written of [
    digest.toString("hex"),
    digest.toString("hex").toUpperCase(),
    digest.toString("base64url"),
    `${digest.toString("base64url")}=`,
  ])
    expect(parseHash(`sha256:${written}`)).toBe(digest.toString("hex"));
});

test.each(["", "sha256:", "sha256:abc", `sha512:${"a".repeat(64)}`, "a".repeat(64), 7, undefined])(
  "%j is no hash",
  (written) => {
    expect(parseHash(written)).toBeUndefined();
  },
);
