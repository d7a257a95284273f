import { ConfigError, milliseconds, suggestion, validator, type ConfigIssue, type Duration } from "@davpool/core";
import { ALGORITHMS, identitySection, type Grant, type IdentitySection, type LimitSection } from "./section.ts";
import { parseHash } from "./token-hash.ts";
import { addressProblem } from "./web-address.ts";

/** The section with every default filled in. Times are in milliseconds. */
export interface IdentitySettings {
  /** Static tokens, by the hex digest of their hash. */
  readonly tokens: ReadonlyMap<string, StaticToken>;
  readonly oauth: OAuthSettings | undefined;
  /** Undefined: everybody may do everything but manage servers. */
  readonly scopes: ReadonlyMap<string, Grant> | undefined;
  /** Undefined: no limit. */
  readonly rateLimit: RateLimit | undefined;
  readonly failureLimit: RateLimit;
}

export interface StaticToken {
  readonly principal: string;
  readonly scopes: readonly string[];
  /** Milliseconds since 1970 from which on it is refused. */
  readonly expiresAt?: number;
}

export interface OAuthSettings {
  readonly issuer: string;
  /** Undefined: the address of the resource that is asked for. */
  readonly audience: string | undefined;
  /** Undefined: as the issuer's metadata says. */
  readonly jwks: string | undefined;
  readonly algorithms: readonly string[];
  readonly principalClaim: string;
  readonly scopeClaim: string;
  readonly clockTolerance: number;
  readonly requiredScopes: readonly string[];
}

/** A token bucket: it holds `burst`, and `requests` flow into it in the time `per`. */
export interface RateLimit {
  readonly requests: number;
  readonly per: number;
  readonly burst: number;
}

export interface ReadIdentityOptions {
  /** Names of the configured pools; a scope that opens another one is then a mistake. */
  readonly pools?: readonly string[];
}

/**
 * Reads the section.
 * @throws ConfigError with everything that is wrong with it. What stands where a token or a hash should be is never
 *   shown.
 */
export function readIdentity(section: unknown, options: ReadIdentityOptions = {}): IdentitySettings {
  const { settings, ofSchema, beyond } = judge(section, options);
  if (!settings || ofSchema.length > 0 || beyond.length > 0) throw new ConfigError(undefined, [...ofSchema, ...beyond]);
  return settings;
}

/** What is wrong with the section beyond its schema, also where other parts of it do not fit that. */
export function identityProblems(section: unknown, options: ReadIdentityOptions = {}): readonly ConfigIssue[] {
  return judge(section, options).beyond;
}

/** Whether what stands at a path fits its schema, with everything below it. */
type Sound = (path: string) => boolean;

interface Judgement {
  /** Of no use where anything is wrong. */
  readonly settings: IdentitySettings | undefined;
  readonly ofSchema: readonly ConfigIssue[];
  readonly beyond: readonly ConfigIssue[];
}

/** One mistake must not hide another one: each part that fits its schema is looked at, whatever the others are. */
function judge(section: unknown, options: ReadIdentityOptions): Judgement {
  const ofSchema = validator(identitySection)(cloned(section), "identity");
  const beyond: ConfigIssue[] = [];
  const sound: Sound = (path) => !ofSchema.some((issue) => below(issue.path, path));
  if (typeof section !== "object" || section === null || Array.isArray(section))
    return { settings: undefined, ofSchema, beyond };
  const { tokens = [], oauth, scopes, rateLimit, failureLimit } = section as IdentitySection;
  const grants = scopes && sound("identity.scopes") ? new Map(Object.entries(scopes)) : undefined;
  // Where nobody can say which scopes there are, none is wrong.
  const mayJudgeScopes = scopes === undefined || grants !== undefined;

  const settings: IdentitySettings = {
    tokens: readTokens(tokens, { grants, mayJudgeScopes, sound }, "identity.tokens", beyond),
    oauth: oauth && sound("identity.oauth") ? readOAuth(oauth, "identity.oauth", beyond) : undefined,
    scopes: grants,
    rateLimit:
      rateLimit && sound("identity.rateLimit") ? readLimit(rateLimit, 600, "identity.rateLimit", beyond) : undefined,
    failureLimit: readLimit(
      sound("identity.failureLimit") ? (failureLimit ?? {}) : {},
      30,
      "identity.failureLimit",
      beyond,
    ),
  };
  if (!oauth && Array.isArray(tokens) && tokens.length === 0)
    beyond.push({ path: "identity", message: "lets nobody in: give it tokens (`davpool token` makes them) or oauth." });
  for (const [name, { pools = [] }] of grants ?? [])
    checkPools(pools, options.pools, `identity.scopes[${JSON.stringify(name)}]`, beyond);
  return { settings, ofSchema, beyond };
}

/** Defaults are filled into a copy. Of what is no data there is none, and it fits no schema. */
function cloned(section: unknown): unknown {
  try {
    return structuredClone(section);
  } catch {
    return undefined;
  }
}

function below(path: string, place: string): boolean {
  return path === place || path.startsWith(`${place}.`) || path.startsWith(`${place}[`);
}

function readTokens(
  written: unknown,
  {
    grants,
    mayJudgeScopes,
    sound,
  }: {
    readonly grants: ReadonlyMap<string, Grant> | undefined;
    readonly mayJudgeScopes: boolean;
    readonly sound: Sound;
  },
  path: string,
  issues: ConfigIssue[],
): ReadonlyMap<string, StaticToken> {
  const tokens = new Map<string, StaticToken>();
  const places = new Map<string, string>();
  if (!Array.isArray(written)) {
    issues.push({ path, message: "must be a list of { principal, hash }." });
    return tokens;
  }
  for (const [index, entry] of (written as readonly unknown[]).entries()) {
    const place = `${path}[${index}]`;
    if (typeof entry !== "object" || entry === null || Array.isArray(entry)) {
      issues.push({
        path: place,
        message: "must be an object, { principal, hash }; what stands there is not shown, as it may be a token.",
      });
      continue;
    }
    const { principal, hash, scopes, expires } = entry as NonNullable<IdentitySection["tokens"]>[number];
    const digest = parseHash(hash);
    const other = digest === undefined ? undefined : places.get(digest);
    if (digest === undefined && sound(`${place}.hash`))
      issues.push({
        path: `${place}.hash`,
        message:
          'must be "sha256:" and 64 hex digits or 43 base64url characters, as `davpool token` prints it; what stands there is not shown, as it may be a token.',
      });
    if (other !== undefined)
      issues.push({
        path: `${place}.hash`,
        message: `is also the hash of ${other}, so one token would be two; make a token of its own for each with \`davpool token\`.`,
      });
    if (mayJudgeScopes && sound(`${place}.scopes`)) checkScopes(scopes, grants, place, issues);
    const expiresAt = expires === undefined ? undefined : Date.parse(expires);
    if (expires !== undefined && sound(`${place}.expires`) && !isTime(expires))
      issues.push({ path: `${place}.expires`, message: `must be a time that exists; got "${expires}".` });
    if (digest === undefined || other !== undefined) continue;
    places.set(digest, `${place}.hash`);
    tokens.set(digest, { principal, scopes: scopes ?? [], ...(expiresAt !== undefined && { expiresAt }) });
  }
  return tokens;
}

/** Dates that do not exist are read as others that do. */
function isTime(text: string): boolean {
  const day = text.slice(0, 10);
  const read = new Date(day);
  return !Number.isNaN(Date.parse(text)) && !Number.isNaN(read.getTime()) && read.toISOString().startsWith(day);
}

/** A limit that is meant and does not hold is worse than none, so every doubt is a mistake. */
function checkScopes(
  scopes: readonly string[] | undefined,
  grants: ReadonlyMap<string, Grant> | undefined,
  place: string,
  issues: ConfigIssue[],
): void {
  if (!grants) {
    if (scopes !== undefined)
      issues.push({
        path: `${place}.scopes`,
        message:
          "means nothing without identity.scopes, which says what each scope allows; write that, or leave this out.",
      });
    return;
  }
  const known = [...grants.keys()];
  if (scopes === undefined)
    issues.push({
      path: `${place}.scopes`,
      message: `is missing, so the token could do nothing; name some of ${known.join(", ")}, or write [] if that is meant.`,
    });
  for (const [index, scope] of (scopes ?? []).entries())
    if (!grants.has(scope))
      issues.push(
        unknown(`${place}.scopes[${index}]`, `must be one of identity.scopes, ${known.join(", ")}`, scope, known),
      );
}

function checkPools(
  written: readonly string[],
  known: readonly string[] | undefined,
  place: string,
  issues: ConfigIssue[],
): void {
  for (const [index, pool] of written.entries())
    if (known?.includes(pool) === false)
      issues.push(unknown(`${place}.pools[${index}]`, `must be one of the pools, ${known.join(", ")}`, pool, known));
}

function unknown(path: string, expected: string, written: string, known: readonly string[]): ConfigIssue {
  const hint = suggestion(written, known);
  return { path, message: `${expected}; got "${written}".`, ...(hint !== undefined && { suggestion: hint }) };
}

function readOAuth(section: NonNullable<IdentitySection["oauth"]>, path: string, issues: ConfigIssue[]): OAuthSettings {
  const { issuer, audience, jwks, algorithms = ALGORITHMS, requiredScopes = [] } = section;
  const { principalClaim = "sub", scopeClaim = "scope", clockTolerance = "5s" } = section;
  const report = (key: string, message: string | undefined) => {
    if (message !== undefined) issues.push({ path: `${path}.${key}`, message });
  };
  report("issuer", addressProblem(issuer) ?? issuerProblem(issuer));
  report("jwks", jwks === undefined ? undefined : addressProblem(jwks));
  return {
    issuer,
    audience,
    jwks,
    algorithms,
    principalClaim,
    scopeClaim,
    clockTolerance: milliseconds(clockTolerance),
    requiredScopes,
  };
}

/** RFC 8414 §2; without a "#" in it an issuer's end can be told within a principal's name. */
function issuerProblem(issuer: string): string | undefined {
  return /[?#]/.test(issuer) ? `must have no query and no fragment; got "${issuer}".` : undefined;
}

function readLimit(section: LimitSection, usual: number, path: string, issues: ConfigIssue[]): RateLimit {
  const { requests = usual, per = "1m" satisfies Duration, burst = requests } = section;
  const time = milliseconds(per);
  if (time === 0)
    issues.push({ path: `${path}.per`, message: `must be more than no time; got ${JSON.stringify(per)}.` });
  return { requests, per: time, burst };
}
