import { describeError, type Clock } from "@davpool/core";
import { request, type Dispatcher } from "undici";
import { NotConnectedError } from "../errors.ts";
import type { OAuthProfile } from "../wire.ts";
import type { Authorization } from "./authorization.ts";

/** Milliseconds before its end at which a token is not used any more. */
const MARGIN = 30_000;
/** What a token that does not say is worth. */
const UNKNOWN_LIFETIME = 300_000;
const LONGEST_ANSWER = 1024 * 1024;
/** Milliseconds that an authorization server may take. */
const PATIENCE = 10_000;

interface Token {
  readonly header: string;
  /** On the clock's scale. */
  readonly until: number;
}

/**
 * Tokens by client credentials: fetched when one is needed, used until shortly before they expire, and fetched anew
 * when the server refuses one.
 */
export class ClientCredentials implements Authorization {
  readonly #profile: OAuthProfile;
  readonly #resource: string;
  readonly #secret: () => Promise<string>;
  readonly #agent: Dispatcher;
  readonly #clock: Clock;
  #token: Token | undefined;
  #fetching: Promise<Token> | undefined;

  /** @param resource the server that the tokens are for (RFC 8707). */
  constructor(profile: OAuthProfile, resource: string, secret: () => Promise<string>, agent: Dispatcher, clock: Clock) {
    this.#profile = profile;
    this.#resource = resource;
    this.#secret = secret;
    this.#agent = agent;
    this.#clock = clock;
  }

  async header(): Promise<string> {
    if (this.#token && this.#clock.now() < this.#token.until) return this.#token.header;
    this.#fetching ??= this.#fetch().finally(() => (this.#fetching = undefined));
    return (await this.#fetching).header;
  }

  refused(header: string | undefined): boolean {
    if (header === this.#token?.header) this.#token = undefined;
    return true;
  }

  async #fetch(): Promise<Token> {
    const { clientId, scopes } = this.#profile;
    const { endpoint, basic } = await this.#endpoint();
    const secret = await this.#secret();
    const body = new URLSearchParams({ grant_type: "client_credentials", resource: this.#resource });
    if (scopes && scopes.length > 0) body.set("scope", scopes.join(" "));
    const headers: Record<string, string> = {
      "content-type": "application/x-www-form-urlencoded",
      accept: "application/json",
    };
    if (basic)
      headers["authorization"] = `Basic ${Buffer.from(`${form(clientId)}:${form(secret)}`).toString("base64")}`;
    else {
      body.set("client_id", clientId);
      body.set("client_secret", secret);
    }
    const { status, json } = await this.#ask(endpoint, { method: "POST", headers, body: body.toString() });
    const { access_token: token, expires_in: lifetime, token_type: type, error } = json;
    if (status !== 200 || typeof token !== "string" || !/^[\x21-\x7e]+$/.test(token))
      throw new NotConnectedError(
        `the authorization server gave no token (HTTP ${status}${typeof error === "string" && /^\w{1,40}$/.test(error) ? `, ${error}` : ""}); check clientId, clientSecret and scopes in oauth`,
        status,
      );
    if (typeof type === "string" && type.toLowerCase() !== "bearer")
      throw new NotConnectedError("the authorization server gave a token of a kind other than Bearer");
    const milliseconds = typeof lifetime === "number" && lifetime > 0 ? lifetime * 1_000 : UNKNOWN_LIFETIME;
    this.#token = {
      header: `Bearer ${token}`,
      until: this.#clock.now() + Math.max(milliseconds - MARGIN, milliseconds / 2),
    };
    return this.#token;
  }

  async #endpoint(): Promise<{ readonly endpoint: string; readonly basic: boolean }> {
    const { tokenUrl, issuer } = this.#profile;
    if (tokenUrl !== undefined) return { endpoint: tokenUrl, basic: true };
    const { origin, pathname } = new URL(issuer ?? "");
    const path = pathname === "/" ? "" : pathname.replace(/\/$/, "");
    for (const place of [
      `${origin}/.well-known/oauth-authorization-server${path}`,
      `${origin}/.well-known/openid-configuration${path}`,
      `${origin}${path}/.well-known/openid-configuration`,
    ]) {
      const { status, json } = await this.#ask(place, { method: "GET", headers: { accept: "application/json" } });
      if (status !== 200) continue;
      const { issuer: named, token_endpoint: endpoint, token_endpoint_auth_methods_supported: methods } = json;
      if (typeof named !== "string" || named.replace(/\/$/, "") !== (issuer ?? "").replace(/\/$/, ""))
        throw new NotConnectedError(`the metadata of the authorization server ${origin} names another issuer`);
      if (typeof endpoint !== "string" || !URL.canParse(endpoint)) break;
      return { endpoint, basic: !Array.isArray(methods) || methods.includes("client_secret_basic") };
    }
    throw new NotConnectedError(
      `the authorization server ${origin} does not say where its token endpoint is; give tokenUrl instead of issuer in oauth`,
    );
  }

  async #ask(
    url: string,
    options: { method: "GET" | "POST"; headers: Record<string, string>; body?: string },
  ): Promise<{ readonly status: number; readonly json: Readonly<Record<string, unknown>> }> {
    const limit = new AbortController();
    const timer = this.#clock.after(PATIENCE, () => limit.abort(new Error(`no answer within ${PATIENCE} ms`)));
    try {
      const { statusCode, body } = await request(url, { ...options, dispatcher: this.#agent, signal: limit.signal });
      const text = await limitedText(body);
      return { status: statusCode, json: record(text) };
    } catch (error) {
      throw new NotConnectedError(
        `the authorization server ${new URL(url).origin} cannot be asked: ${describeError(error)}`,
        undefined,
        error,
      );
    } finally {
      timer[Symbol.dispose]();
    }
  }
}

async function limitedText(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.byteLength;
    if (size > LONGEST_ANSWER) throw new Error("its answer is too long");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function record(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

/** As RFC 6749 §2.3.1 wants the parts of Basic credentials. */
function form(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`);
}
