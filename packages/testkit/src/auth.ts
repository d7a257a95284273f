import { timingSafeEqual } from "node:crypto";

/** What a server asks of each request: Basic or Bearer credentials. */
export type ServerAuth = { readonly username: string; readonly password: string } | { readonly token: string };

export function isAuthorized(auth: ServerAuth, header: string | undefined): boolean {
  const [scheme = "", value = ""] = (header ?? "").split(/ +/, 2);
  if ("token" in auth) return scheme.toLowerCase() === "bearer" && same(value, auth.token);
  const credentials = Buffer.from(`${auth.username}:${auth.password}`).toString("base64");
  return scheme.toLowerCase() === "basic" && same(value, credentials);
}

/** The `WWW-Authenticate` header of a 401. */
export function challengeOf(auth: ServerAuth): string {
  return "token" in auth ? 'Bearer realm="testkit"' : 'Basic realm="testkit", charset="UTF-8"';
}

function same(left: string, right: string): boolean {
  const [a, b] = [Buffer.from(left), Buffer.from(right)];
  return a.length === b.length && timingSafeEqual(a, b);
}
