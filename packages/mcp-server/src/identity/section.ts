import { DurationSchema } from "@davpool/core";
import { Type, type Static, type TObject, type TUnsafe } from "typebox";

/** Signature algorithms whose checking key cannot sign. */
export const ALGORITHMS = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
  "Ed25519",
] as const;

const closed = { additionalProperties: false } as const;

/** `scope-token` of RFC 6749 §3.3; it can stand between the quotes of a header as it is. */
const SCOPE_PATTERN = "^[!#-\\[\\]-~]{1,128}$";
const SCOPE_EXPECTS = "a scope: printable ASCII without spaces, quotes and backslashes";
const scopeName = Type.String({ pattern: SCOPE_PATTERN, expects: SCOPE_EXPECTS });

/**
 * Names of static principals. Neither ":" nor "#" can stand in one, and both stand in every name that is made from an
 * issuer's token, so the two kinds never meet.
 */
const PRINCIPAL_PATTERN = "^[A-Za-z0-9][A-Za-z0-9_.@+-]{0,127}$";
/** What a principal can be called, as the end of a sentence. */
export const PRINCIPAL = "a name: a letter or digit, then up to 127 letters, digits, dots, dashes, underscores, @ or +";
const principalName = new RegExp(PRINCIPAL_PATTERN);

/** Whether a principal can be called so. */
export function isPrincipalName(text: string): boolean {
  return principalName.test(text);
}

const DATE_PATTERN = "^\\d{4}-\\d{2}-\\d{2}(T\\d{2}:\\d{2}(:\\d{2}(\\.\\d+)?)?(Z|[+-]\\d{2}:\\d{2}))?$";

const token = Type.Object(
  {
    principal: Type.String({
      pattern: PRINCIPAL_PATTERN,
      expects: PRINCIPAL,
      description: "Whose token it is. One principal may have several.",
    }),
    hash: Type.Any({
      description: 'The token\'s SHA-256: "sha256:" and 64 hex digits or 43 base64url characters. Never the token.',
    }),
    scopes: Type.Optional(
      Type.Array(scopeName, { description: "Names out of identity.scopes. Needed if that is set." }),
    ),
    expires: Type.Optional(
      Type.String({
        pattern: DATE_PATTERN,
        expects: 'a date in quotes, such as "2027-01-31" (its beginning, UTC) or "2027-01-31T12:00:00Z"',
        description: "From when on it is refused. Default: never.",
      }),
    ),
  },
  closed,
);

/** One token of the static list, as it is written. */
export interface TokenEntry extends Omit<Static<typeof token>, "hash"> {
  readonly hash: string;
}

/**
 * What stands in the list in a wrong form may be a token, and the general messages show what they find. So the schema
 * leaves forms alone here, and the reader of the section checks them without showing anything.
 */
function unchecked(schema: TObject): TUnsafe<TokenEntry> {
  const { type: _form, ...rest } = schema;
  return Type.Unsafe<TokenEntry>(rest);
}

const oauth = Type.Object(
  {
    issuer: Type.String({
      pattern: "^https?://[!-~]+$",
      expects: "a web address: https://…",
      description: "Who signs the tokens: exactly their iss claim. http: only on this machine.",
    }),
    audience: Type.Optional(
      Type.String({
        minLength: 1,
        description: "What the aud claim must hold. Default: this server's own address, such as https://host/mcp.",
      }),
    ),
    jwks: Type.Optional(
      Type.String({
        pattern: "^https?://[!-~]+$",
        expects: "a web address: https://…",
        description: "Where the issuer's keys are. Default: as its metadata says (RFC 8414, then OpenID discovery).",
      }),
    ),
    algorithms: Type.Optional(
      Type.Array(
        Type.Enum([...ALGORITHMS], {
          expects: `one of ${ALGORITHMS.join(", ")}; with "none" and HS* whoever can check a token could make one`,
        }),
        { minItems: 1, description: `Signatures that are accepted. Default: ${ALGORITHMS.join(", ")}.` },
      ),
    ),
    principalClaim: Type.Optional(
      Type.String({
        minLength: 1,
        default: "sub",
        description: "Claim that names the principal. It must be unique at the issuer and not for users to choose.",
      }),
    ),
    scopeClaim: Type.Optional(
      Type.String({
        minLength: 1,
        default: "scope",
        description: "Claim that holds the scopes, in one string or as a list. Beside scope, scp is understood.",
      }),
    ),
    clockTolerance: Type.Optional(
      DurationSchema({ default: "5s", description: "How far the issuer's clock may be off." }),
    ),
    requiredScopes: Type.Optional(
      Type.Array(scopeName, { default: [], description: "Scopes that every token of the issuer must have." }),
    ),
  },
  { ...closed, description: "Tokens of an authorization server (OAuth 2.1): JWTs, checked with its public keys." },
);

const DEFAULT_OPEN = "Default: all; none where tools, resources or prompts names others.";

const grant = Type.Object(
  {
    pools: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), { minItems: 1, description: "Pools it is about. Default: all." }),
    ),
    tools: Type.Optional(
      Type.Array(
        Type.String({
          pattern: "^(\\*|[A-Za-z0-9_-]+\\*?)$",
          expects: 'a tool\'s name as clients see it, or the beginning of names and a *, such as "dav_list*"',
        }),
        {
          description: `Tools it allows: whole names, or beginnings with a * at the end. ${DEFAULT_OPEN}`,
        },
      ),
    ),
    resources: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), {
        description: `Resources it opens: whole addresses as clients see them, or beginnings with a * at the end. ${DEFAULT_OPEN}`,
      }),
    ),
    prompts: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), {
        description: `Prompts it opens: whole names, or beginnings with a * at the end. ${DEFAULT_OPEN}`,
      }),
    ),
    readOnly: Type.Optional(
      Type.Boolean({
        default: false,
        description:
          "Only what changes nothing: safe methods, reading tools of davpool, and those of MCP servers whose hints gateway.pools.<pool>.trustHints trusts.",
      }),
    ),
    manage: Type.Optional(
      Type.Boolean({
        default: false,
        description:
          "Adding, changing, removing and activating servers of its pools, whatever tools and readOnly say. Nobody may without it.",
      }),
    ),
  },
  { ...closed, description: "What a scope allows." },
);

const limitFields = (requests: number) => ({
  requests: Type.Optional(
    Type.Integer({ minimum: 1, default: requests, description: "How many, in the time of per." }),
  ),
  per: Type.Optional(DurationSchema({ default: "1m", description: "The time they are counted in." })),
  burst: Type.Optional(
    Type.Integer({ minimum: 1, description: "How many may come at once after a rest. Default: as many as requests." }),
  ),
});

/** The key `identity` of the configuration: who may use a server that others can reach, and what each may do. */
export const identitySection = Type.Object(
  {
    tokens: Type.Optional(
      Type.Unsafe<readonly TokenEntry[]>({
        items: unchecked(token),
        description: "Tokens of a small team, each as its hash; `davpool token` makes them.",
      }),
    ),
    oauth: Type.Optional(oauth),
    scopes: Type.Optional(
      Type.Record(Type.String({ pattern: SCOPE_PATTERN }), grant, {
        ...closed,
        minProperties: 1,
        expectsKeys: SCOPE_EXPECTS,
        description:
          "What each scope allows; a principal may do what any of its scopes allows. Default: everybody with a token may do everything but manage servers.",
      }),
    ),
    rateLimit: Type.Optional(
      Type.Object(limitFields(600), { ...closed, description: "Requests of one principal. Default: no limit." }),
    ),
    failureLimit: Type.Optional(
      Type.Object(limitFields(30), {
        ...closed,
        description: "Refused tokens from one address; beyond it tokens not seen before have to wait.",
      }),
    ),
  },
  { ...closed, description: "Who may use the server over HTTP, and what each may do." },
);

export type IdentitySection = Static<typeof identitySection>;
/** What one scope allows. */
export type Grant = Readonly<Static<typeof grant>>;
/** A limit as it is written. */
export type LimitSection = NonNullable<IdentitySection["rateLimit"]>;
