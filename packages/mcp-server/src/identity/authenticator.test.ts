import { createHmac, createPublicKey } from "node:crypto";
import { afterEach, beforeAll, beforeEach, describe, expect, expectTypeOf, test } from "vitest";
import type { Authenticator } from "./authenticator.ts";
import { isDenial, type Denial } from "./denial.ts";
import type { Principal } from "./principal.ts";
import type { IdentitySection } from "./section.ts";
import { RESOURCE, assertNoSecrets, createBench, type AuthenticatorBench } from "./testing/bench.test-support.ts";
import { createKey, sign, startIssuer, type Issuer, type SigningKey } from "./testing/issuer.test-support.ts";
import { createToken } from "./token-hash.ts";

const METADATA = "https://files.example.com/.well-known/oauth-protected-resource/mcp";
const alice = createToken();
const bob = createToken();

let bench: AuthenticatorBench;

function open(section: IdentitySection): AuthenticatorBench {
  bench = createBench(section);
  return bench;
}

/** Whatever a test does, nothing of a token may come out again. */
afterEach(() => {
  assertNoSecrets(bench, [alice, bob]);
});

async function denied(answer: Promise<Principal | Denial>): Promise<Denial> {
  const result = await answer;
  expect(isDenial(result)).toBe(true);
  return result as Denial;
}

async function admitted(answer: Promise<Principal | Denial>): Promise<Principal> {
  const result = await answer;
  expect(result).not.toHaveProperty("status");
  return result as Principal;
}

const staticTokens: IdentitySection = {
  tokens: [
    { principal: "alice", hash: alice.hash },
    { principal: "bob", hash: bob.hash, expires: "2026-01-01T01:00:00Z" },
  ],
};

test("the answer is a principal or a denial", () => {
  expectTypeOf<Awaited<ReturnType<Authenticator["authenticate"]>>>().toEqualTypeOf<Principal | Denial>();
  open(staticTokens);
});

describe("without a token", () => {
  test("the challenge has no error, and says where to get one if that is anywhere", async () => {
    open(staticTokens);
    expect(await denied(bench.send(undefined))).toEqual({
      status: 401,
      headers: { "WWW-Authenticate": 'Bearer realm="davpool"', "Cache-Control": "no-store" },
      body: { error: "unauthorized", error_description: expect.stringContaining("Authorization: Bearer") },
    });
    open({ oauth: { issuer: "https://id.example.com", requiredScopes: ["files:read", "mcp"] } });
    const { headers } = await denied(bench.send(undefined));
    expect(headers["WWW-Authenticate"]).toBe(
      `Bearer realm="davpool", scope="files:read mcp", resource_metadata="${METADATA}"`,
    );
  });

  test("nobody is counted as having failed", async () => {
    open({ ...staticTokens, failureLimit: { requests: 1 } });
    for (let count = 0; count < 5; count++) expect((await denied(bench.send(undefined))).status).toBe(401);
    expect(await bench.name(alice.token)).toBe("alice");
  });
});

describe("a header that cannot be read", () => {
  test.each([
    "Bearer",
    "Bearer ",
    "Basic YWxpY2U6c2VjcmV0",
    `Bearer  two words`,
    "Bearer a,b",
    'Bearer "abc"',
    "Bearer abc\u0000",
    "Bearer abc\r\nX: y",
    "abc",
  ])("%j is refused", async (header) => {
    open(staticTokens);
    const { status, headers, body } = await denied(bench.send(header));
    expect([status, body.error]).toEqual([401, "invalid_token"]);
    expect(headers["WWW-Authenticate"]).toMatch(
      /^Bearer realm="davpool", error="invalid_token", error_description="[^"\\]+"$/,
    );
    expect(bench.lines).toEqual([
      expect.objectContaining({ level: "info", fields: { address: "192.0.2.1", reason: "malformed" } }),
    ]);
  });

  test("so is one that is longer than 8 KiB, before anything is done with it", async () => {
    open(staticTokens);
    expect(await bench.name("a".repeat(8_192))).toBe("401 invalid_token");
    expect(bench.lines[0]?.fields).toMatchObject({ reason: "malformed" });
    expect(await bench.name("a".repeat(8_185))).toBe("401 invalid_token");
    expect(bench.lines[1]?.fields).toMatchObject({ reason: "unknown" });
  });

  test("the scheme's case does not matter, and neither do further spaces", async () => {
    open(staticTokens);
    for (const scheme of ["bearer", "BEARER", "Bearer   "])
      expect(await admitted(bench.send(`${scheme} ${alice.token}`))).toMatchObject({ name: "alice" });
  });
});

describe("a static token", () => {
  test("is its principal's, with access to everything where there are no scopes", async () => {
    open(staticTokens);
    const principal = await admitted(bench.show(alice.token));
    expect(principal).toEqual({ name: "alice", access: expect.anything() });
    expect(principal.access.readOnly("dav_request", "files")).toBe(false);
    expect(bench.lines).toEqual([]);
  });

  test("is refused when it is not known", async () => {
    open(staticTokens);
    const { body } = await denied(bench.show(createToken().token));
    expect(body).toEqual({ error: "invalid_token", error_description: "The access token is not known here." });
    // Its hash is not the token.
    expect(await bench.name(alice.hash.slice(7))).toBe("401 invalid_token");
  });

  test("ends at its time, even if it was used just before", async () => {
    open(staticTokens);
    expect(await admitted(bench.show(bob.token))).toMatchObject({ expiresAt: Date.UTC(2026, 0, 1, 1) });
    bench.clock.advance(3_600_000 - 1);
    expect(await bench.name(bob.token)).toBe("bob");
    bench.clock.advance(1);
    const { body } = await denied(bench.show(bob.token));
    expect(body.error_description).toBe("The access token has expired.");
  });

  test("may do what its scopes allow, and is refused when they allow nothing", async () => {
    open({
      tokens: [
        { principal: "alice", hash: alice.hash, scopes: ["read", "drafts"] },
        { principal: "bob", hash: bob.hash, scopes: [] },
      ],
      scopes: { read: { readOnly: true }, drafts: { pools: ["drafts"] } },
    });
    const { access } = await admitted(bench.show(alice.token));
    expect(access.readOnly("dav_request", "files")).toBe(true);
    expect(access.readOnly("dav_request", "drafts")).toBe(false);
    const { status, headers } = await denied(bench.show(bob.token));
    expect(status).toBe(403);
    expect(headers["WWW-Authenticate"]).toContain('error="insufficient_scope"');
    expect(headers["WWW-Authenticate"]).toContain('scope="read drafts"');
    // Told once, not with each request.
    expect(await bench.name(bob.token)).toBe("403 insufficient_scope");
    expect(bench.lines).toEqual([
      expect.objectContaining({ fields: { address: "192.0.2.1", principal: "bob", needed: ["read", "drafts"] } }),
    ]);
  });
});

describe("limits", () => {
  test("a principal has its own, whatever its tokens and addresses, and it recovers", async () => {
    const second = createToken();
    open({
      tokens: [...(staticTokens.tokens ?? []), { principal: "alice", hash: second.hash }],
      rateLimit: { requests: 60, burst: 2 },
    });
    expect(await bench.name(alice.token)).toBe("alice");
    expect(await bench.name(second.token, { address: "192.0.2.9" })).toBe("alice");
    const { status, headers, body } = await denied(bench.show(alice.token));
    expect([status, headers["Retry-After"], body.error]).toEqual([429, "1", "rate_limited"]);
    expect(await bench.name(bob.token)).toBe("bob");
    bench.clock.advance(1_000);
    expect(await bench.name(alice.token)).toBe("alice");
    expect(await bench.name(alice.token)).toBe("429 rate_limited");
  });

  test("guessing gets slow, for the address that guesses and its neighbours alone", async () => {
    open({ ...staticTokens, failureLimit: { requests: 6, burst: 3 } });
    const from = (address: string) => bench.name(createToken().token, { address });
    for (let count = 0; count < 3; count++) expect(await from(`2001:db8:1:2::${count}`)).toBe("401 invalid_token");
    const { status, headers } = await denied(bench.show(createToken().token, { address: "2001:db8:1:2::9" }));
    expect([status, headers["Retry-After"]]).toEqual([429, "10"]);
    expect((await denied(bench.send("Basic x", { address: "2001:db8:1:2::9" }))).status).toBe(429);
    // A right guess does not help either.
    expect(await bench.name(alice.token, { address: "2001:db8:1:2::9" })).toBe("429 too_many_failures");
    expect(await from("2001:db8:1:3::1")).toBe("401 invalid_token");
    expect(bench.lines.filter(({ level }) => level === "warn")).toEqual([
      expect.objectContaining({ fields: { client: "2001:db8:1:2::/64" } }),
    ]);
    bench.clock.advance(10_000);
    expect(await bench.name(alice.token, { address: "2001:db8:1:2::9" })).toBe("alice");
    expect(await from("2001:db8:1:2::9")).toBe("401 invalid_token");
    expect(await from("2001:db8:1:2::9")).toBe("429 too_many_failures");
  });

  test("who was let in lately still is, when somebody else at the same address guesses", async () => {
    open({ ...staticTokens, failureLimit: { requests: 1 } });
    expect(await bench.name(alice.token)).toBe("alice");
    expect(await bench.name(createToken().token)).toBe("401 invalid_token");
    expect(await bench.name(createToken().token)).toBe("429 too_many_failures");
    expect(await bench.name(alice.token)).toBe("alice");
  });
});

describe("a token of the issuer", () => {
  let issuer: Issuer;
  let key: SigningKey;

  beforeEach(async () => {
    issuer = await startIssuer();
    key = await issuer.rotate("first");
    return () => issuer[Symbol.asyncDispose]();
  });

  const openFor = (more: Partial<IdentitySection["oauth"]> = {}, section: IdentitySection = {}) =>
    open({ ...section, oauth: { issuer: issuer.issuer, ...more } });

  /** Claims of a good token. */
  const claims = (more: object = {}) => ({
    iss: issuer.issuer,
    sub: "4711",
    aud: RESOURCE,
    exp: bench.seconds(600),
    ...more,
  });
  const token = (more: object = {}, header: Record<string, unknown> = {}) => sign(key, claims(more), header);

  test("names its principal together with the issuer, and is checked once", async () => {
    openFor();
    const good = await token();
    expect(await admitted(bench.show(good))).toEqual({
      name: `${issuer.issuer}#4711`,
      access: expect.anything(),
      expiresAt: bench.clock.wall().getTime() + 605_000,
    });
    // Nothing is asked of the issuer any more, and no signature verified.
    const asked = issuer.asked.length;
    issuer.pages.clear();
    bench.clock.advance(299_999);
    expect(await bench.name(good)).toBe(`${issuer.issuer}#4711`);
    expect(issuer.asked.length).toBe(asked);
  });

  test("never is the principal of a static token", async () => {
    openFor({}, staticTokens);
    expect(await bench.name(alice.token)).toBe("alice");
    expect(await bench.name(await token({ sub: "alice" }))).toBe(`${issuer.issuer}#alice`);
  });

  test("ends at its time and the tolerance, although it is known", async () => {
    openFor();
    const good = await token({ exp: bench.seconds(60) });
    expect(await bench.name(good)).toContain("#4711");
    bench.clock.advance(64_999);
    expect(await bench.name(good)).toContain("#4711");
    bench.clock.advance(1);
    expect((await denied(bench.show(good))).body.error_description).toBe("The access token has expired.");
  });

  test("is checked again after five minutes", async () => {
    openFor();
    const good = await token();
    await bench.show(good);
    key = await issuer.rotate("second");
    bench.clock.advance(300_000);
    // Another one makes the keys be fetched anew, and the first one's is gone.
    expect(await bench.name(await token())).toContain("#4711");
    expect((await denied(bench.show(good))).body.error_description).toContain("does not publish");
  });

  test("that is known for one resource is not thereby for another", async () => {
    openFor();
    const good = await token();
    expect(await bench.name(good)).toContain("#4711");
    expect(await bench.name(good, { resource: "https://other.example.com/mcp" })).toBe("401 invalid_token");
  });

  test.each<[string, object, string]>([
    ["has expired", { exp: 1 }, "expired"],
    ["never expires", { exp: undefined }, "claims"],
    ["is not valid yet", { nbf: 4_000_000_000 }, "not-yet-valid"],
    ["has a time that is no number", { nbf: "soon" }, "claims"],
    ["is for another audience", { aud: "https://other.example.com/mcp" }, "audience"],
    ["is for no audience", { aud: undefined }, "audience"],
    ["is of another issuer", { iss: "https://other.example.com" }, "issuer"],
    ["is of no issuer", { iss: undefined }, "issuer"],
    ["has no subject", { sub: undefined }, "claims"],
    ["has an empty subject", { sub: "" }, "claims"],
    ["has a number as subject", { sub: 7 }, "claims"],
    ["has a line end in its subject", { sub: "a\nb" }, "claims"],
    ["has an escape in its subject", { sub: "a\u001B[31mb" }, "claims"],
    ["has a line separator in its subject", { sub: "a\u2028b" }, "claims"],
    ["has a mark that turns text around in its subject", { sub: "a\u202Eb" }, "claims"],
    ["has an endless subject", { sub: "a".repeat(257) }, "claims"],
  ])("is refused when it %s", async (_what, more, reason) => {
    openFor();
    const { status, body, headers } = await denied(bench.show(await token(more)));
    expect([status, body.error]).toEqual([401, "invalid_token"]);
    expect(headers["WWW-Authenticate"]).toContain(`resource_metadata="${METADATA}"`);
    expect(bench.lines).toEqual([expect.objectContaining({ level: "info", fields: { address: "192.0.2.1", reason } })]);
  });

  test("may be off by the tolerance", async () => {
    openFor({ clockTolerance: "1m" });
    expect(await bench.name(await token({ nbf: bench.seconds(59), exp: bench.seconds(700) }))).toContain("#4711");
    expect(await bench.name(await token({ exp: bench.seconds(-59) }))).toContain("#4711");
    expect(await bench.name(await token({ exp: bench.seconds(-60) }))).toBe("401 invalid_token");
  });

  test("may name several audiences, and the configuration another one than the resource", async () => {
    openFor();
    expect(await bench.name(await token({ aud: ["https://other.example.com", RESOURCE] }))).toContain("#4711");
    openFor({ audience: "davpool" });
    expect(await bench.name(await token({ aud: "davpool" }))).toContain("#4711");
    expect(await bench.name(await token())).toBe("401 invalid_token");
  });

  describe("with a forged signature", () => {
    const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString("base64url");
    const reason = () => bench.lines.at(-1)?.fields?.reason;

    test("is refused when it has none", async () => {
      openFor();
      expect(await bench.name(`${encode({ alg: "none", kid: "first" })}.${encode(claims())}.`)).toBe(
        "401 invalid_token",
      );
      expect(reason()).toBe("algorithm");
    });

    test("is refused when the public key served as a shared secret", async () => {
      openFor();
      const signed = `${encode({ alg: "HS256", kid: "first" })}.${encode(claims())}`;
      const pem = createPublicKey({ key: key.jwk, format: "jwk" }).export({ type: "spki", format: "pem" });
      for (const secret of [pem, JSON.stringify(key.jwk)]) {
        const signature = createHmac("sha256", secret).update(signed).digest("base64url");
        expect(await bench.name(`${signed}.${signature}`)).toBe("401 invalid_token");
        expect(reason()).toBe("algorithm");
      }
    });

    test("is refused when another key with the same name made it", async () => {
      openFor();
      expect(await bench.name(await sign(await createKey("first"), claims()))).toBe("401 invalid_token");
      expect(reason()).toBe("signature");
    });

    test("is refused when a claim was changed", async () => {
      openFor();
      const [header, , signature] = (await token()).split(".");
      expect(await bench.name(`${header}.${encode(claims({ sub: "root" }))}.${signature}`)).toBe("401 invalid_token");
      expect(reason()).toBe("signature");
    });

    test("is refused when it brings its own key", async () => {
      openFor();
      const own = await createKey("own");
      expect(await bench.name(await sign(own, claims(), { jwk: own.jwk, kid: "first" }))).toBe("401 invalid_token");
      expect(reason()).toBe("signature");
    });

    test.each(["a.b.c", "..", "e30.e30.e30", "a.b.c.d.e"])("is refused when it is %s", async (text) => {
      openFor();
      expect(await bench.name(text)).toBe("401 invalid_token");
    });
  });

  test("is accepted with the algorithms that are configured, and no others", async () => {
    openFor({ algorithms: ["RS256"] });
    expect(await bench.name(await token())).toBe("401 invalid_token");
    expect(bench.lines[0]?.fields).toMatchObject({ reason: "algorithm" });
    key = await issuer.rotate("rsa", { alg: "RS256" });
    bench.clock.advance(30_000);
    expect(await bench.name(await token())).toContain("#4711");
    key = await issuer.rotate("edwards", { alg: "EdDSA" });
    openFor();
    expect(await bench.name(await token())).toContain("#4711");
  });

  test("that names no key is tried with each that fits", async () => {
    openFor();
    key = await issuer.rotate("second", { keep: true });
    expect(await bench.name(await token({}, { kid: undefined }))).toContain("#4711");
    expect(await bench.name(await sign(await createKey("third"), claims(), { kid: undefined }))).toBe(
      "401 invalid_token",
    );
    expect(bench.lines[0]?.fields).toMatchObject({ reason: "signature" });
  });

  describe("has scopes", () => {
    const section: IdentitySection = { scopes: { read: { readOnly: true }, write: {} } };

    test.each<[string, object, Partial<IdentitySection["oauth"]>]>([
      ["in one string", { scope: "openid  write" }, {}],
      ["in a list", { scope: ["openid", 7, "write"] }, {}],
      ["in scp", { scp: ["write"] }, {}],
      ["in a claim of the issuer's own", { permissions: "write" }, { scopeClaim: "permissions" }],
    ])("%s", async (_where, more, oauth) => {
      openFor(oauth, section);
      const { access } = await admitted(bench.show(await token(more)));
      expect(access.readOnly("dav_request", "files")).toBe(false);
    });

    test.each([{}, { scope: "" }, { scope: "openid constructor" }, { scope: { write: true } }, { scp: 7 }])(
      "and may do nothing with %j",
      async (more) => {
        openFor({}, section);
        const { status, headers } = await denied(bench.show(await token(more)));
        expect(status).toBe(403);
        expect(headers["WWW-Authenticate"]).toBe(
          `Bearer realm="davpool", error="insufficient_scope", error_description="The access token lacks a scope that is needed here.", scope="read write", resource_metadata="${METADATA}"`,
        );
      },
    );

    test("and must have every one that is required", async () => {
      openFor({ requiredScopes: ["mcp", "files"] }, staticTokens);
      expect(await bench.name(await token({ scope: "files mcp more" }))).toContain("#4711");
      const { status, headers } = await denied(bench.show(await token({ scope: "files" })));
      expect([status, headers["WWW-Authenticate"]]).toEqual([403, expect.stringContaining('scope="mcp files"')]);
      // Static tokens are the operator's own.
      expect(await bench.name(alice.token)).toBe("alice");
    });

    test("that count as no failure of the address", async () => {
      openFor({ requiredScopes: ["mcp"] }, { failureLimit: { requests: 1 } });
      for (const scope of ["a", "b", "c"])
        expect(await bench.name(await token({ scope }))).toBe("403 insufficient_scope");
    });
  });

  test("names its principal by another claim where one is configured", async () => {
    openFor({ principalClaim: "email" });
    expect(await bench.name(await token({ email: "a@example.com" }))).toBe(`${issuer.issuer}#a@example.com`);
    expect(await bench.name(await token())).toBe("401 invalid_token");
    openFor({ principalClaim: "constructor" });
    expect(await bench.name(await token())).toBe("401 invalid_token");
  });

  test("is unknown where no issuer is configured", async () => {
    open(staticTokens);
    expect(await bench.name(await token())).toBe("401 invalid_token");
    expect(issuer.asked).toEqual([]);
  });

  test("made by somebody else makes further ones from there wait, but not those that are known", async () => {
    openFor({}, { failureLimit: { requests: 2 } });
    const good = await token();
    await bench.show(good);
    const stranger = await createKey("first");
    for (let count = 0; count < 2; count++)
      expect(await bench.name(await sign(stranger, claims({ count })))).toBe("401 invalid_token");
    expect(await bench.name(await sign(stranger, claims()))).toBe("429 too_many_failures");
    expect(await bench.name(await token({ jti: "new" }))).toBe("429 too_many_failures");
    expect(await bench.name(good)).toContain("#4711");
  });
});

describe("many at once", () => {
  let issuer: Issuer;
  let key: SigningKey;
  beforeAll(async () => {
    issuer = await startIssuer();
    key = await issuer.rotate("first");
    return () => issuer[Symbol.asyncDispose]();
  });

  test("principals of one address are let in while the keys are fetched once", async () => {
    open({ oauth: { issuer: issuer.issuer }, failureLimit: { requests: 1 } });
    const claims = { iss: issuer.issuer, aud: RESOURCE, exp: bench.seconds(600) };
    const tokens = await Promise.all(
      Array.from({ length: 200 }, (_, index) => sign(key, { ...claims, sub: `u${index}` })),
    );
    const names = await Promise.all(tokens.map((token) => bench.name(token)));
    expect(names).toEqual(tokens.map((_, index) => `${issuer.issuer}#u${index}`));
    expect(issuer.asked).toHaveLength(2);
  });

  test("forgeries that are checked at the same time count all of them", async () => {
    open({ oauth: { issuer: issuer.issuer }, failureLimit: { requests: 6, burst: 1 } });
    const stranger = await createKey("first");
    const forged = await Promise.all(
      Array.from({ length: 4 }, (_, index) => sign(stranger, { sub: `u${index}`, exp: bench.seconds(600) })),
    );
    await Promise.all(forged.map((token) => bench.name(token)));
    const { headers } = await denied(bench.show(String(forged[0])));
    expect(Number(headers["Retry-After"])).toBe(20);
  });
});
