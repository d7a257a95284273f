import { ConfigError, formatIssue, type ConfigIssue } from "@davpool/core";
import { describe, expect, expectTypeOf, test } from "vitest";
import { ALGORITHMS, type IdentitySection } from "./section.ts";
import { readIdentity, type ReadIdentityOptions } from "./settings.ts";
import { createToken } from "./token-hash.ts";

const hash = () => createToken().hash;
const oauth = { issuer: "https://id.example.com" };

function problems(section: unknown, options?: ReadIdentityOptions): readonly ConfigIssue[] {
  try {
    readIdentity(section, options);
    return [];
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as ConfigError).issues;
  }
}

const lines = (section: unknown, options?: ReadIdentityOptions) => problems(section, options).map(formatIssue);

test("the section's type is that of its schema", () => {
  expectTypeOf({ tokens: [{ principal: "alice", hash: "sha256:…" }] }).toExtend<IdentitySection>();
  expectTypeOf<{ oauth: { issuer: string; algorithms: "ES256"[] } }>().toExtend<IdentitySection>();
  expectTypeOf<{ oauth: { issuer: string; algorithms: "HS256"[] } }>().not.toExtend<IdentitySection>();
  expectTypeOf<{ rateLimit: { per: "1m" } }>().toExtend<IdentitySection>();
  expectTypeOf<{ rateLimit: { per: "soon" } }>().not.toExtend<IdentitySection>();
});

describe("defaults", () => {
  test("are filled in", () => {
    expect(readIdentity({ oauth, rateLimit: {} })).toEqual({
      tokens: new Map(),
      oauth: {
        issuer: "https://id.example.com",
        audience: undefined,
        jwks: undefined,
        algorithms: ALGORITHMS,
        principalClaim: "sub",
        scopeClaim: "scope",
        clockTolerance: 5_000,
        requiredScopes: [],
      },
      scopes: undefined,
      rateLimit: { requests: 600, per: 60_000, burst: 600 },
      failureLimit: { requests: 30, per: 60_000, burst: 30 },
    });
  });

  test("give way to what is written, which is left as it was", () => {
    const section = Object.freeze({ oauth, rateLimit: Object.freeze({ requests: 10, per: "1s", burst: 20 }) });
    const { rateLimit } = readIdentity(section);
    expect(rateLimit).toEqual({ requests: 10, per: 1_000, burst: 20 });
    expect(readIdentity({ oauth }).rateLimit).toBeUndefined();
  });
});

describe("tokens", () => {
  test("are known by their hash, with scopes and the time they end", () => {
    const settings = readIdentity({
      tokens: [{ principal: "alice", hash: hash(), scopes: ["read"], expires: "2027-01-31" }],
      scopes: { read: { readOnly: true } },
    });
    expect([...settings.tokens.values()]).toEqual([
      { principal: "alice", scopes: ["read"], expiresAt: Date.UTC(2027, 0, 31) },
    ]);
  });

  test("must not share a hash, however it is written", () => {
    const shared = hash();
    const hex = Buffer.from(shared.slice(7), "base64url").toString("hex");
    const tokens = [
      { principal: "alice", hash: shared },
      { principal: "bob", hash: `sha256:${hex}` },
    ];
    expect(lines({ tokens })).toEqual([
      expect.stringMatching(
        /^identity\.tokens\[1\]\.hash: is also the hash of identity\.tokens\[0\]\.hash, .*davpool token/,
      ),
    ]);
  });

  test("that stand there in place of their hash are never shown", () => {
    const { token } = createToken();
    for (const tokens of [
      [{ principal: "alice", hash: token }],
      [{ principal: "alice", hash: `sha256:${token}` }],
      [{ principal: "alice", hash: [token] }],
      [{ principal: "alice", hash: hash(), token }],
      [token],
      [[token]],
      token,
      { alice: token },
    ]) {
      const found = lines({ tokens });
      expect(found).toHaveLength(1);
      expect(found[0]).toMatch(/^identity\.tokens/);
      expect(found.join()).not.toContain(token);
    }
  });

  test.each([
    [{ principal: "a:b", hash: hash() }, "principal: must be a name"],
    [{ principal: "https://id.example.com#1", hash: hash() }, "principal: must be a name"],
    [{ principal: "a\nb", hash: hash() }, "principal: must be a name"],
    [{ principal: "alice" }, "hash: is missing"],
    [{ principal: "alice", hash: hash(), expires: "next year" }, "expires: must be a date in quotes"],
    [
      { principal: "alice", hash: hash(), expires: "2027-02-31" },
      'expires: must be a time that exists; got "2027-02-31"',
    ],
    [{ principal: "alice", hash: hash(), expires: "2027-13-01" }, "expires: must be a time that exists"],
    [{ principal: "alice", hash: hash(), expires: "2027-01-01T25:00Z" }, "expires: must be a time that exists"],
    [{ principal: "alice", hash: hash(), scopes: ["read"] }, "scopes: means nothing without identity.scopes"],
  ])("%j is reported at its place", (token, expected) => {
    expect(lines({ tokens: [token] })).toEqual([expect.stringContaining(`identity.tokens[0].${expected}`)]);
  });

  test("are looked at although something else is wrong with them or beside them", () => {
    const token = { principal: "a:b", hash: "sha256:1", expires: "2027-02-31", scopes: ["raed"] };
    const found = lines({
      tokens: [token, { principal: "bob", hash: hash(), scopes: 5 }],
      oauth: { issuer: "https://a:b@id.example.com" },
      rateLimit: { per: "soon" },
      failureLimit: { per: 0 },
      scopes: { read: {} },
    });
    expect(found.map((line) => line.slice(0, line.indexOf(": ")))).toEqual([
      "identity.tokens[0].principal",
      "identity.tokens[1].scopes",
      "identity.rateLimit.per",
      "identity.tokens[0].hash",
      "identity.tokens[0].scopes[0]",
      "identity.tokens[0].expires",
      "identity.oauth.issuer",
      "identity.failureLimit.per",
    ]);
    expect(lines({ tokens: [token], scopes: 5 })).not.toContainEqual(expect.stringContaining("scopes[0]"));
    expect(lines(5)).toEqual(["identity: must be an object; got 5."]);
    expect(lines({ tokens: () => [] })).toContain("identity.tokens: must be a list of { principal, hash }.");
  });

  test("name scopes that exist, if there are any", () => {
    const scopes = { "files:read": {} };
    const token = { principal: "alice", hash: hash() };
    expect(lines({ scopes, tokens: [token] })).toEqual([
      "identity.tokens[0].scopes: is missing, so the token could do nothing; name some of files:read, or write [] if that is meant.",
    ]);
    expect(lines({ scopes, tokens: [{ ...token, scopes: ["files:raed"] }] })).toEqual([
      'identity.tokens[0].scopes[0]: must be one of identity.scopes, files:read; got "files:raed". Did you mean "files:read"?',
    ]);
    expect(lines({ scopes, tokens: [{ ...token, scopes: [] }] })).toEqual([]);
  });
});

describe("oauth", () => {
  test.each([
    [{ issuer: "id.example.com" }, "issuer: must be a web address"],
    [{ issuer: "http://id.example.com" }, "issuer: must begin with https://"],
    [{ issuer: "http://127.0.0.1.example.com" }, "issuer: must begin with https://"],
    [{ issuer: "https://a:secret@id.example.com" }, "issuer: has a name or password"],
    [{ issuer: "https://id.example.com/?a" }, "issuer: must have no query"],
    [{ issuer: "https://id.example.com/#a" }, "issuer: must have no query"],
    [{ issuer: "https://[" }, "issuer: is no web address"],
    [{ ...oauth, jwks: "http://id.example.com/keys" }, "jwks: must begin with https://"],
    [{ ...oauth, algorithms: ["none"] }, "algorithms[0]: must be one of RS256"],
    [{ ...oauth, algorithms: ["HS256"] }, "algorithms[0]: must be one of RS256, RS384"],
    [{ ...oauth, algorithms: [] }, "algorithms: must NOT have fewer"],
    [{ ...oauth, clockTolerance: "soon" }, "clockTolerance: must be a duration"],
    [{ ...oauth, requiredScopes: ['a"b'] }, "requiredScopes[0]: must be a scope"],
  ])("%j is reported at its place", (section, expected) => {
    const found = lines({ oauth: section });
    expect(found).toEqual([expect.stringContaining(`identity.oauth.${expected}`)]);
    expect(found.join()).not.toContain("secret");
  });

  test.each(["http://localhost:8080", "http://127.0.0.1:1/a", "http://[::1]/", "https://id.example.com/realms/a"])(
    "%s is fine as an issuer",
    (issuer) => {
      expect(lines({ oauth: { issuer } })).toEqual([]);
    },
  );
});

test("a section that lets nobody in is a mistake", () => {
  expect(lines({})).toEqual([expect.stringContaining("identity: lets nobody in")]);
  expect(lines({ tokens: [] })).toEqual([expect.stringContaining("identity: lets nobody in")]);
});

test("limits need a time, and scopes need names that fit", () => {
  expect(lines({ oauth, rateLimit: { per: 0 } })).toEqual([
    expect.stringContaining("identity.rateLimit.per: must be more"),
  ]);
  expect(lines({ oauth, scopes: { "a b": {} } })).toEqual([
    expect.stringContaining('identity.scopes["a b"]: must be named by'),
  ]);
  expect(lines({ oauth, scopes: {} })).toEqual([expect.stringContaining("identity.scopes: must NOT have fewer")]);
  expect(lines({ oauth, scopes: { read: { tools: ["*_list"] } } })).toEqual([
    expect.stringContaining("identity.scopes.read.tools[0]: must be a tool's name"),
  ]);
});

test("scopes open pools that exist, where those are known", () => {
  const section = { oauth, scopes: { "files:read": { pools: ["fiels"] } } };
  expect(lines(section, { pools: ["files", "archive"] })).toEqual([
    'identity.scopes["files:read"].pools[0]: must be one of the pools, files, archive; got "fiels". Did you mean "files"?',
  ]);
  expect(lines(section)).toEqual([]);
});
