const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

/**
 * Why an address is nothing to fetch keys from; undefined when it is fine. Whoever could change what comes from there
 * could make tokens, so only a connection that stays on this machine may be without TLS.
 */
export function addressProblem(text: string): string | undefined {
  const url = URL.parse(text);
  if (url === null) return "is no web address; write it as https://host/path.";
  if (url.username !== "" || url.password !== "")
    return "has a name or password in it; it is public and is fetched without them.";
  if (url.protocol === "https:" || (url.protocol === "http:" && LOOPBACK.test(url.hostname))) return undefined;
  return `must begin with https://, as ${url.protocol}//${url.host} is not on this machine and could be forged on the way.`;
}
