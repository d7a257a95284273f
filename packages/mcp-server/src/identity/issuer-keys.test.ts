import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { IdentitySection } from "./section.ts";
import { RESOURCE, assertNoSecrets, createBench, type AuthenticatorBench } from "./testing/bench.test-support.ts";
import { KEYS, sign, startIssuer, type Issuer, type SigningKey } from "./testing/issuer.test-support.ts";
import { createToken } from "./token-hash.ts";

let issuer: Issuer;
let key: SigningKey;
let bench: AuthenticatorBench;

beforeEach(async () => {
  issuer = await startIssuer("/realms/team");
  key = await issuer.rotate("first");
  return () => issuer[Symbol.asyncDispose]();
});

afterEach(() => {
  assertNoSecrets(bench);
});

function open(more: Partial<IdentitySection["oauth"]> = {}, section: IdentitySection = {}): void {
  bench = createBench({ ...section, oauth: { issuer: issuer.issuer, ...more } });
}

let made = 0;
/** A good token that was not seen before. */
const token = (by = key) =>
  sign(by, {
    iss: issuer.issuer,
    sub: "4711",
    aud: RESOURCE,
    exp: bench.seconds(3_600),
    jti: `${made++}`,
  });
const name = async (by?: SigningKey) => bench.name(await token(by));
const warnings = () => bench.lines.filter(({ level }) => level === "warn").map(({ message }) => message);

const AUTHORIZATION_SERVER = "/.well-known/oauth-authorization-server/realms/team";
const OPENID = "/realms/team/.well-known/openid-configuration";
const GOOD = "#4711";
const DOWN = "503 temporarily_unavailable";

describe("keys are found", () => {
  test("when the first token comes, and not before", async () => {
    open();
    expect(issuer.asked).toEqual([]);
    expect(await name()).toContain(GOOD);
    expect(await name()).toContain(GOOD);
    expect(issuer.asked).toEqual([AUTHORIZATION_SERVER, KEYS]);
  });

  test.each([404, "<html>not this one</html>", "[]", "null", { issuer: "https://other.example.com", jwks_uri: "/" }])(
    "by OpenID discovery where RFC 8414 gives %j",
    async (page) => {
      open();
      issuer.pages.set(AUTHORIZATION_SERVER, page);
      issuer.pages.set(OPENID, { issuer: issuer.issuer, jwks_uri: issuer.origin + KEYS });
      expect(await name()).toContain(GOOD);
      expect(issuer.asked).toEqual([AUTHORIZATION_SERVER, OPENID, KEYS]);
    },
  );

  test("where the configuration says, without asking", async () => {
    open({ jwks: issuer.origin + KEYS });
    expect(await name()).toContain(GOOD);
    expect(issuer.asked).toEqual([KEYS]);
  });

  test("of an issuer whose name ends in a slash", async () => {
    await using other = await startIssuer("/");
    const { issuer: written, origin } = other;
    other.pages.set("/.well-known/oauth-authorization-server", { issuer: written, jwks_uri: origin + KEYS });
    const foreign = await other.rotate("first");
    bench = createBench({ oauth: { issuer: written } });
    const claims = { iss: written, sub: "4711", aud: RESOURCE, exp: bench.seconds(60) };
    expect(await bench.name(await sign(foreign, claims))).toBe(`${written}#4711`);
  });
});

describe("when keys cannot be fetched", () => {
  test.each<[string, () => void, string]>([
    ["the metadata is gone", () => issuer.pages.clear(), "answers 404"],
    [
      "the issuer goes by another name",
      () => issuer.pages.set(AUTHORIZATION_SERVER, { issuer: "https://other.example.com", jwks_uri: "https://x" }),
      'names the issuer "https://other.example.com", and it must be written in exactly that way',
    ],
    [
      "there is no jwks_uri",
      () => issuer.pages.set(AUTHORIZATION_SERVER, { issuer: issuer.issuer }),
      "names no jwks_uri",
    ],
    [
      "the keys are elsewhere without TLS",
      () => issuer.pages.set(AUTHORIZATION_SERVER, { issuer: issuer.issuer, jwks_uri: "http://192.0.2.1/keys" }),
      "has a jwks_uri that must begin with https://",
    ],
    ["the keys answer an error", () => issuer.pages.set(KEYS, 500), "Expected 200 OK"],
    ["the keys are no JSON", () => issuer.pages.set(KEYS, "<html>"), "as JSON"],
    ["the keys are no keys", () => issuer.pages.set(KEYS, { keys: 7 }), "malformed"],
  ])("because %s, tokens are answered 503 and the log says so once", async (_why, spoil, expected) => {
    open();
    spoil();
    expect(await name()).toBe(DOWN);
    const asked = issuer.asked.length;
    expect(await name()).toBe(DOWN);
    // Not again within two seconds.
    expect(issuer.asked.length).toBe(asked);
    expect(warnings()).toEqual([expect.stringContaining(expected)]);
    expect(warnings()[0]).toContain(`The keys of ${issuer.issuer} cannot be fetched`);
    expect(bench.lines).toHaveLength(1);
  });

  test("the answer says when to come back, and the address has not failed", async () => {
    open({}, { failureLimit: { requests: 1 } });
    issuer.pages.set(KEYS, 503);
    for (let count = 0; count < 3; count++)
      expect(await bench.show(await token())).toMatchObject({ status: 503, headers: { "Retry-After": "2" } });
  });

  test("because nobody listens, it recovers when somebody does", async () => {
    const gone = await startIssuer();
    await gone[Symbol.asyncDispose]();
    open({ jwks: gone.origin + KEYS });
    expect(await name()).toBe(DOWN);
    expect(warnings()[0]).toContain("ECONNREFUSED");

    open();
    issuer.pages.set(KEYS, 500);
    expect(await name()).toBe(DOWN);
    issuer.pages.set(KEYS, { keys: [key.jwk] });
    expect(await name()).toBe(DOWN);
    bench.clock.advance(2_000);
    expect(await name()).toContain(GOOD);
    expect(bench.lines.at(-1)).toMatchObject({
      level: "info",
      message: expect.stringContaining("can be fetched again"),
    });
  });

  test("because there is no answer, five seconds are waited", async () => {
    open();
    issuer.pages.set(KEYS, "silence");
    const waiting = [name(), name()];
    await issuer.received(2);
    bench.clock.advance(5_000);
    expect(await Promise.all(waiting)).toEqual([DOWN, DOWN]);
    expect(warnings()).toEqual([expect.stringContaining("no answer within 5000 ms")]);
  });

  test("static tokens work all the same", async () => {
    const { token: own, hash } = createToken();
    open({}, { tokens: [{ principal: "alice", hash }] });
    issuer.pages.clear();
    expect(await name()).toBe(DOWN);
    expect(await bench.name(own)).toBe("alice");
  });

  test("those already known go on working, and others are answered 503", async () => {
    open();
    expect(await name()).toContain(GOOD);
    issuer.pages.set(KEYS, 500);
    bench.clock.advance(600_000);
    expect(await name()).toContain(GOOD);
    const { message } = await bench.logged("cannot be fetched");
    expect(message).toContain("Keys already known go on working");
    bench.clock.advance(2_000);
    expect(await name()).toContain(GOOD);
    expect(await name(await issuer.rotate("second"))).toBe(DOWN);
  });
});

describe("after a rotation", () => {
  test("a new key is picked up when a token names it", async () => {
    open();
    expect(await name()).toContain(GOOD);
    const second = await issuer.rotate("second");
    bench.clock.advance(30_000);
    expect(await name(second)).toContain(GOOD);
    expect(await name(key)).toBe("401 invalid_token");
  });

  test("keys that do not exist make nobody ask more often than every thirty seconds", async () => {
    open();
    expect(await name()).toContain(GOOD);
    const asked = issuer.asked.length;
    const unknown = await issuer.rotate("second");
    await issuer.rotate("third");
    expect(await name(unknown)).toBe("401 invalid_token");
    expect(issuer.asked.length).toBe(asked);
    bench.clock.advance(30_000);
    await Promise.all([name(unknown), name(unknown), name(unknown)]);
    expect(issuer.asked.length).toBe(asked + 2);
    expect(await name(unknown)).toBe("401 invalid_token");
    expect(issuer.asked.length).toBe(asked + 2);
  });

  test("keys are fetched anew every ten minutes, while requests go on", async () => {
    open();
    expect(await name()).toContain(GOOD);
    bench.clock.advance(600_000);
    issuer.pages.set(AUTHORIZATION_SERVER, "silence");
    expect(await name()).toContain(GOOD);
    await issuer.received(3);
    expect(issuer.asked).toEqual([AUTHORIZATION_SERVER, KEYS, AUTHORIZATION_SERVER]);
  });

  test("keys that moved are found at their new place", async () => {
    open();
    expect(await name()).toContain(GOOD);
    const second = await issuer.rotate("second");
    issuer.pages.set("/moved", { keys: [second.jwk] });
    issuer.pages.delete(KEYS);
    issuer.pages.set(AUTHORIZATION_SERVER, { issuer: issuer.issuer, jwks_uri: `${issuer.origin}/moved` });
    bench.clock.advance(30_000);
    expect(await name(second)).toContain(GOOD);
  });
});
