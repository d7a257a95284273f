import type { ConfigIssue } from "@davpool/core";
import type { WebDavProfile } from "./wire.ts";

/** What is wrong with a profile beyond what its schema can say. Paths count from the profile. */
export function problemsOf({ url: address, username, password, token }: WebDavProfile): readonly ConfigIssue[] {
  const issues: ConfigIssue[] = [];
  const report = (path: string, message: string) => void issues.push({ path, message });
  const got = `got ${JSON.stringify(shown(address))}.`;
  const url = webAddress(address);
  if (!url)
    report(
      "url",
      `must be the http: or https: address of a collection, such as "https://dav.example.com/files/"; ${got}`,
    );
  else if (url.username !== "" || url.password !== "")
    report("url", `must not hold credentials; give username and password as fields of their own; ${got}`);
  else if (url.search !== "" || url.hash !== "")
    report("url", `must not have a query or a fragment; give the address of a collection; ${got}`);

  if (token !== undefined && (username !== undefined || password !== undefined))
    report("token", "stands instead of username and password; give one or the other.");
  else if (username !== undefined && password === undefined)
    report("username", 'has no password beside it; give it, as "" if it is empty, or token instead of both.');
  else if (password !== undefined && username === undefined)
    report("password", 'has no username beside it; give it, as "" if it is empty.');
  if (username?.includes(":")) report("username", COLON);
  return issues;
}

/** What names of Basic authentication cannot have. */
export const COLON = "must be without a colon: Basic authentication cannot carry one in it.";

/** Undefined for what is no address of a web server. */
export function webAddress(address: string): URL | undefined {
  const url = URL.parse(address);
  return url?.protocol === "http:" || url?.protocol === "https:" ? url : undefined;
}

/** An address for a message, without what may be credentials in it. */
export function shown(address: string): string {
  return address
    .replace(/^([a-z]+:\/\/)?[^]*@/i, "$1…@")
    .replace(/[?#][^]*$/, (rest) => `${rest.slice(0, 1)}…`)
    .slice(0, 200);
}
