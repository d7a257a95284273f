import {
  AddressGuard,
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
    admit: (profile, origin) => admit(profile, origin, guard, security),
    connect(profile, init) {
      if (init.credentials) {
        const { username } = init.credentials;
        if (username?.includes(":")) return Promise.reject(new InvalidProfileError(profile.serverId, [COLON]));
        warnOnce(profile);
      }
      const connection = new WebDavConnection(profile, init, settings, guard);
      connection.preconnect(init.clock);
      return Promise.resolve(connection);
    },
    traits: traitsOf,
    judge: (response) => judge(response, clock),
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
  const url = URL.parse(profile.url);
  if (!url || (url.protocol !== "http:" && url.protocol !== "https:"))
    throw new ForbiddenAddressError(
      shown(profile.url),
      "it is not an http: or https: URL",
      "Give the address of a WebDAV collection.",
    );
  if (url.username !== "" || url.password !== "")
    throw new InvalidProfileError(serverId, [
      "url: must not hold credentials; give username and password as fields of their own.",
    ]);
  if (url.search !== "" || url.hash !== "")
    throw new InvalidProfileError(serverId, [
      "url: must not have a query or a fragment; give the address of a collection.",
    ]);
  if (profile.token !== undefined && (profile.username !== undefined || profile.password !== undefined))
    throw new InvalidProfileError(serverId, ["token: stands instead of username and password; give one or the other."]);
  if (profile.username?.includes(":")) throw new InvalidProfileError(serverId, [COLON]);
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

const COLON = "username: Basic authentication cannot carry a colon in it.";

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

/** An address for a message, without what may be credentials in it. */
function shown(url: string): string {
  return url.replace(/\/\/[^/@]*@/, "//…@").slice(0, 200);
}
