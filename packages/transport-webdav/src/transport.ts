import {
  AddressGuard,
  formatIssue,
  hostOf,
  InvalidProfileError,
  isLoopback,
  ForbiddenAddressError,
  type Clock,
  type Log,
  type SecurityRules,
  type ServerOrigin,
  type Transport,
} from "@davpool/core";
import { learned } from "./affinity.ts";
import { WebDavConnection, type ConnectionSettings } from "./connection.ts";
import { explain, judge } from "./failures.ts";
import { traitsOf } from "./methods.ts";
import { COLON, problemsOf, shown, webAddress } from "./profile.ts";
import { isDone } from "./verify.ts";
import type { WebDavProfile, WebDavWire } from "./wire.ts";

/** WebDAV servers as davpool sees them. */
export function webDavTransport(
  settings: ConnectionSettings,
  security: SecurityRules,
  clock: Clock,
  log?: Log,
): Transport<WebDavWire> {
  const guard = new AddressGuard(security.allowHosts);
  const warned = new Set<string>();
  /** Credentials that are not the profile's: of them nothing is known when it is admitted. */
  const warnOnce = (profile: WebDavProfile) => {
    const { serverId, url } = profile;
    if (hasCredentials(profile) || warned.has(serverId) || !inClear(new URL(url), security)) return;
    warned.add(serverId);
    log?.warn(clearWarning(serverId), { serverId });
  };
  return {
    name: "webdav",
    secretFields: ["password", "token"],
    secretsOrigin: ({ url }) => (typeof url === "string" ? URL.parse(url)?.origin : undefined),
    accountFields: ["username"],
    admit: (profile, origin) => admit(profile, origin, guard, security),
    connect(profile, init) {
      if (init.credentials) {
        const { username } = init.credentials;
        if (username?.includes(":"))
          return Promise.reject(new InvalidProfileError(profile.serverId, [`username: ${COLON}`]));
        warnOnce(profile);
      }
      const connection = new WebDavConnection(profile, init, settings, guard);
      connection.preconnect(init.clock);
      return Promise.resolve(connection);
    },
    traits: traitsOf,
    judge: (response, request) => judge(response, request, clock),
    refusal: ({ status }) => (status >= 400 ? status : undefined),
    explain,
    affinity: learned,
    async verify(request, response, ask) {
      if (!(await isDone(request, response, ask))) return undefined;
      // What came with the refusal speaks about the refusal.
      response.body.discard();
      return { status: 204, headers: {}, body: response.body };
    },
    discard: (response) => response.body.discard(),
  };
}

async function admit(
  profile: WebDavProfile,
  origin: ServerOrigin,
  guard: AddressGuard,
  security: SecurityRules,
): Promise<readonly string[]> {
  const { serverId } = profile;
  const url = webAddress(profile.url);
  if (!url)
    throw new ForbiddenAddressError(
      shown(profile.url),
      "it is not an http: or https: URL",
      "Give the address of a WebDAV collection.",
    );
  const problems = problemsOf(profile);
  if (problems.length > 0) throw new InvalidProfileError(serverId, problems.map(formatIssue));
  if (origin === "added") await guard.admit(url);

  if (!hasCredentials(profile) || !inClear(url, security)) return [];
  if (origin === "added")
    throw new ForbiddenAddressError(
      url.origin,
      "credentials would cross the network in clear",
      "Use https:, or ask the operator to set security.allowCleartext.",
    );
  return [clearWarning(serverId)];
}

function hasCredentials({ username, password, token }: WebDavProfile): boolean {
  return [username, password, token].some((part) => part !== undefined);
}

/** Whether what is sent there crosses the network in clear, and nobody has said that this is meant. */
function inClear(url: URL, security: SecurityRules): boolean {
  return url.protocol === "http:" && !isLoopback(hostOf(url)) && !security.allowCleartext;
}

function clearWarning(serverId: string): string {
  return `Server "${serverId}" gets its credentials over http: in clear. Use https:, or set security.allowCleartext to say that this is meant.`;
}
