import {
  ForbiddenAddressError,
  InvalidProfileError,
  formatIssue,
  hostOf,
  isLoopback,
  type ConfigIssue,
  type SecurityRules,
  type ServerOrigin,
} from "@davpool/core";
import type { McpProfile } from "./wire.ts";

/** Fields that mean something to a process only, and to an address only. */
const OF_COMMANDS = ["args", "env", "inheritEnv", "cwd"] as const;
/** What a shell would replace. */
const VARIABLE = /\$\{[A-Za-z_]\w*\}/;
const OF_ADDRESSES = ["transport", "token", "headers", "oauth"] as const;
/** What davpool itself says in headers. */
const OWN_HEADERS = /^(?:mcp-.*|content-.*|accept|host|connection|transfer-encoding|last-event-id)$/i;

/**
 * Judges a profile beyond what its schema can say.
 * @returns warnings for the operator.
 * @throws InvalidProfileError, ForbiddenAddressError
 */
export function admit(profile: McpProfile, origin: ServerOrigin, security: SecurityRules): readonly string[] {
  const { serverId, command, url } = profile;
  const refuse = (...problems: readonly string[]) => {
    throw new InvalidProfileError(serverId, problems);
  };
  // First of all: what a caller wrote must never run.
  if (origin === "added" && (command !== undefined || OF_COMMANDS.some((field) => profile[field] !== undefined)))
    refuse("command: only the operator's configuration may name a command to run; give url instead.");
  const problems = problemsOf(profile);
  if (problems.length > 0) refuse(...problems.map(formatIssue));
  return url === undefined ? [] : clearances(profile, new URL(url), origin, security);
}

/** What is wrong with a profile beyond what its schema can say. Paths count from the profile. */
export function problemsOf(profile: McpProfile): readonly ConfigIssue[] {
  const { command, url } = profile;
  if (command === undefined && url === undefined)
    return [
      {
        path: "",
        message: "is neither a command nor an address; give command to run a server here, or url to reach one.",
      },
    ];
  if (command !== undefined && url !== undefined)
    return [
      {
        path: "",
        message: "has both command and url; a server is run here or reached over HTTP, so give one of them.",
      },
    ];
  return url === undefined ? ofCommand(profile) : ofAddress(profile, url);
}

/** The program and its arguments. */
export function argv({ command, args = [] }: McpProfile): readonly [string, ...string[]] {
  const [program = "", ...first] = typeof command === "string" ? [command] : (command ?? []);
  return [program, ...first, ...args];
}

/** The server behind a profile: equal where two would be the same one. */
export function serverOf(profile: McpProfile): string {
  return profile.url ?? JSON.stringify([argv(profile), profile.cwd]);
}

function ofCommand(profile: McpProfile): readonly ConfigIssue[] {
  const issues: ConfigIssue[] = OF_ADDRESSES.filter((field) => profile[field] !== undefined).map((field) => ({
    path: field,
    message: "belongs to a server with a url; what a command needs to know goes into env.",
  }));
  const report = (path: string, message: string) => void issues.push({ path, message });
  const [program] = argv(profile);
  if (program.trim() === "") report("command", `names no program; got ${JSON.stringify(program)}.`);
  else if (
    typeof profile.command === "string" &&
    profile.args === undefined &&
    /\s/.test(program) &&
    !/[\\/]/.test(program)
  )
    report(
      "command",
      `${JSON.stringify(program)} is one program of this name, as no shell takes it apart; write ${JSON.stringify(program.trim().split(/\s+/))}.`,
    );
  for (const name of Object.keys(profile.env ?? {}))
    if (name === "" || /[=\0]/.test(name)) report("env", `${JSON.stringify(name)} is no name of a variable.`);
  for (const [name, value] of Object.entries(profile.env ?? {})) {
    const variable = typeof value === "string" && VARIABLE.exec(value)?.[0];
    if (typeof variable === "string")
      report(`env.${name}`, `holds ${variable}, which is not replaced; write { env: "${variable.slice(2, -1)}" }.`);
  }
  for (const argument of argv(profile)) {
    const variable = VARIABLE.exec(argument)?.[0];
    if (variable !== undefined)
      report(
        profile.args ? "args" : "command",
        `holds ${variable}, which no shell replaces; write the value, or have the program read it from env.`,
      );
  }
  return issues;
}

function ofAddress(profile: McpProfile, address: string): readonly ConfigIssue[] {
  const issues: ConfigIssue[] = OF_COMMANDS.filter((field) => profile[field] !== undefined).map((field) => ({
    path: field,
    message: "belongs to a server with a command; this one has a url.",
  }));
  const report = (path: string, message: string) => void issues.push({ path, message });
  const got = `got ${JSON.stringify(shown(address))}.`;
  const url = URL.parse(address);
  if (!url || (url.protocol !== "http:" && url.protocol !== "https:"))
    report("url", `must be an http: or https: address, such as "https://mcp.example.com/mcp"; ${got}`);
  else if (url.username !== "" || url.password !== "")
    report("url", `must not hold credentials; give token, headers or oauth; ${got}`);
  else if (url.hash !== "") report("url", `must not have a fragment; ${got}`);
  const { token, headers = {}, oauth, transport, era } = profile;
  const names = Object.keys(headers);
  for (const name of names) {
    if (!/^[!#$%&'*+.^_`|~\w-]+$/.test(name)) report("headers", `${JSON.stringify(name)} is no name of a header.`);
    else if (OWN_HEADERS.test(name)) report("headers", `${name} is set by the protocol and cannot be given.`);
  }
  const proofs = [token !== undefined, oauth !== undefined, names.some((name) => /^authorization$/i.test(name))];
  if (proofs.filter(Boolean).length > 1)
    report("", "token, oauth and the header authorization say the same thing; give one of them.");
  if (transport === "sse" && era === "modern")
    report("era", "the HTTP+SSE of 2024 has no modern era; leave transport or era out.");
  if (oauth) issues.push(...ofOAuth(oauth));
  return issues;
}

function ofOAuth({ tokenUrl, issuer }: NonNullable<McpProfile["oauth"]>): readonly ConfigIssue[] {
  if ((tokenUrl === undefined) === (issuer === undefined))
    return [
      { path: "oauth", message: "give either tokenUrl, the token endpoint, or issuer, whose metadata names it." },
    ];
  const url = URL.parse(tokenUrl ?? issuer ?? "");
  const safe = url && (url.protocol === "https:" || (url.protocol === "http:" && isLoopback(hostOf(url))));
  const path = `oauth.${tokenUrl === undefined ? "issuer" : "tokenUrl"}`;
  const got = JSON.stringify(shown(tokenUrl ?? issuer ?? ""));
  return safe ? [] : [{ path, message: `must be an https: URL; got ${got}.` }];
}

function clearances(profile: McpProfile, url: URL, origin: ServerOrigin, security: SecurityRules): readonly string[] {
  const secret = [profile.token, profile.headers, profile.oauth].some((part) => part !== undefined);
  if (!secret || url.protocol === "https:" || isLoopback(hostOf(url)) || security.allowCleartext) return [];
  if (origin === "added")
    throw new ForbiddenAddressError(
      url.origin,
      "credentials would cross the network in clear",
      "Use https:, or ask the operator to set security.allowCleartext.",
    );
  return [
    `Server "${profile.serverId}" gets its credentials over http: in clear. Use https:, or set security.allowCleartext to say that this is meant.`,
  ];
}

/** An address for a message, without what may be credentials in it. */
function shown(address: string): string {
  return address
    .replace(/^([a-z]+:\/\/)?[^]*@/i, "$1…@")
    .replace(/[?#][^]*$/, (rest) => `${rest.slice(0, 1)}…`)
    .slice(0, 200);
}
