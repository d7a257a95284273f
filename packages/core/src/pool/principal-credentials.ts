import type { Credentials, CredentialSource } from "../contracts/credential-source.ts";
import type { ServerOrigin, ServerProfile } from "../contracts/server-profile.ts";
import type { SecretContext } from "../config/secret.ts";
import { member } from "../config/validate.ts";
import { NoCredentialsError } from "../errors/call-errors.ts";
import { describeError } from "../errors/davpool-error.ts";
import { definePlugin } from "../plugin/define-plugin.ts";
import { ENVIRONMENT } from "../plugin/tokens.ts";
import { principalOptions, problemsOf, type PrincipalEntry } from "./principal-options.ts";
import { isEmpty, profileCredentials, readCredentials } from "./profile-credentials.ts";

export interface PrincipalSettings {
  readonly pool: string;
  readonly principals: Readonly<Record<string, PrincipalEntry>>;
  readonly otherwise: "deny" | "profile";
}

/**
 * Each principal's own credentials, on connections of its own, also where two have the same.
 *
 * They go to servers that the operator declared. One that somebody added at run time may be anybody's, and would collect
 * the passwords of all who use the pool: it is asked with the credentials that came with it.
 */
export function principalCredentials(settings: PrincipalSettings, context: SecretContext): CredentialSource {
  const { pool, otherwise } = settings;
  const own = profileCredentials(context);
  // Names come from tokens: a plain object would know "constructor".
  const principals = new Map(
    Object.entries(settings.principals).map(([name, entry]) => [
      name,
      { all: isEmpty(entry) ? undefined : entry, servers: new Map(Object.entries(entry.servers ?? {})) },
    ]),
  );
  // It would name the partition of the servers' own.
  principals.delete("");
  const find = (principal: string, serverId: string) => {
    const entry = principals.get(principal);
    return entry?.servers.get(serverId) ?? entry?.all;
  };
  const refused = (serverId: string, principal: string | undefined, remedy: string, cause?: unknown) =>
    new NoCredentialsError(pool, serverId, principal, remedy, cause === undefined ? {} : { cause });

  return {
    partition({ serverId }: ServerProfile, principal: string | undefined, origin: ServerOrigin): string {
      const entry = principal === undefined ? undefined : principals.get(principal);
      if (principal === undefined || !entry) {
        if (otherwise === "profile") return "";
        throw refused(serverId, principal, remedyFor(pool, principal));
      }
      if (origin === "added") return "";
      if (find(principal, serverId)) return principal;
      // Whoever has credentials of its own elsewhere does not become somebody else here.
      throw refused(serverId, principal, `Add them to ${placeOf(pool, principal)}.`);
    },

    async credentials(profile, principal, signal, origin): Promise<Credentials | undefined> {
      if (principal === undefined || origin === "added") return own.credentials(profile, undefined, signal, origin);
      const written = find(principal, profile.serverId);
      if (!written) throw refused(profile.serverId, principal, remedyFor(pool, principal));
      try {
        return await readCredentials(written, context, signal);
      } catch (error) {
        throw refused(profile.serverId, principal, describeError(error), error);
      }
    },
  };
}

function remedyFor(pool: string, principal: string | undefined): string {
  const share = 'set credentials.otherwise to "profile" to let it use the credentials that the server\'s profile has';
  return principal === undefined
    ? `Call on behalf of a principal, or ${share}.`
    : `Add it to ${member(member("pools", pool), "credentials")}.principals, or ${share}.`;
}

function placeOf(pool: string, principal: string): string {
  const name = principal.length > 200 ? `${principal.slice(0, 199)}…` : principal;
  return member(`${member("pools", pool)}.credentials.principals`, name);
}

/** Each principal's own credentials, instead of one account for all. */
export const credentialsPrincipals = definePlugin({
  kind: "credentials",
  name: "principals",
  options: principalOptions,
  check: ({ principals }, { serverIds }) => problemsOf(principals, serverIds),
  create: (context, { principals, otherwise = "deny" }) =>
    principalCredentials(
      { pool: context.pool, principals, otherwise },
      { environment: context.services.get(ENVIRONMENT), baseDirectory: context.baseDirectory },
    ),
});
