import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { SignJWT, exportJWK, generateKeyPair, type CryptoKey, type JWK, type JWTPayload } from "jose";

/** How the issuer answers at a path: JSON, a status, text as it is, or not at all. */
export type Reaction = object | number | string | "silence";

export interface SigningKey {
  readonly kid: string;
  readonly alg: string;
  readonly privateKey: CryptoKey;
  readonly jwk: JWK;
}

export interface Issuer extends AsyncDisposable {
  /** What the tokens' iss says; ends with the path it was started with. */
  readonly issuer: string;
  readonly origin: string;
  /** Paths that were asked for, in order. */
  readonly asked: readonly string[];
  /** What each path answers; others get 404. */
  readonly pages: Map<string, Reaction>;
  /** Resolves when so many requests have arrived since the start. */
  received(count: number): Promise<void>;
  /** Makes a key and publishes it in place of the others, or beside them. */
  rotate(kid: string, options?: { readonly alg?: string; readonly keep?: boolean }): Promise<SigningKey>;
}

export const KEYS = "/keys";

/** An authorization server's public side, on a real socket: metadata by RFC 8414 and one set of keys. */
export async function startIssuer(path = ""): Promise<Issuer> {
  const asked: string[] = [];
  const pages = new Map<string, Reaction>();
  const expecting = new Set<() => void>();
  const published: JWK[] = [];
  const server = createServer((request, response) => {
    const { url = "" } = request;
    asked.push(url);
    const page = pages.get(url) ?? 404;
    if (typeof page === "number") response.writeHead(page).end();
    else if (page !== "silence") response.end(typeof page === "string" ? page : JSON.stringify(page));
    for (const look of expecting) look();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const issuer = origin + path;
  pages.set(KEYS, { keys: published });
  pages.set(`/.well-known/oauth-authorization-server${path}`, { issuer, jwks_uri: origin + KEYS });
  return {
    issuer,
    origin,
    asked,
    pages,
    received: (count) =>
      new Promise((resolve) => {
        const look = () => {
          if (asked.length < count) return;
          expecting.delete(look);
          resolve();
        };
        expecting.add(look);
        look();
      }),
    async rotate(kid, { alg = "ES256", keep = false } = {}) {
      const key = await createKey(kid, alg);
      if (!keep) published.length = 0;
      published.push(key.jwk);
      return key;
    },
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}

/** A key that nobody publishes. */
export async function createKey(kid: string, alg = "ES256"): Promise<SigningKey> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  return { kid, alg, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: "sig" } };
}

export async function sign(
  { kid, alg, privateKey }: SigningKey,
  claims: JWTPayload,
  header: Record<string, unknown> = {},
): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg, kid, ...header }).sign(privateKey);
}
