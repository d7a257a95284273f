/** Characters of an `Authorization` value; nobody's token is longer, and hashing is not free. */
const LONGEST = 8_192;
/** `b64token` of RFC 6750 §2.1, behind the scheme, whose case does not matter. */
const BEARER = /^bearer +([A-Za-z0-9\-._~+/]+=*)$/i;

/**
 * The token of an `Authorization` header. Only there: what stands in an address ends in logs and histories.
 * @returns undefined when there is none to speak of, `malformed` when there is one that cannot be read.
 */
export function bearerToken(authorization: string | undefined): { readonly token: string } | "malformed" | undefined {
  if (authorization === undefined || authorization === "") return undefined;
  if (authorization.length > LONGEST) return "malformed";
  const [, token] = BEARER.exec(authorization) ?? [];
  return token === undefined ? "malformed" : { token };
}
