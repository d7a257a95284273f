import type { ServerOrigin, ServerProfile } from "./server-profile.ts";

/**
 * Finds the credentials with which a server is asked. They are found when a connection is opened, and stay with it until
 * it is closed.
 *
 * A source that knows credentials of principals has {@link partition} as well. The engine asks it before every attempt,
 * and opens a connection of its own for each partition, so that credentials never meet on a connection:
 *
 * ```ts
 * const source: CredentialSource = {
 *   partition(profile, principal) {
 *     if (principal === undefined) throw new NoCredentialsError(pool, profile.serverId, principal, why);
 *     return principal;
 *   },
 *   credentials: async (profile, principal) => (principal === undefined ? own(profile) : vault.find(principal)),
 * };
 * ```
 */
export interface CredentialSource {
  /**
   * @param principal whose credentials: undefined for the server's own, which health checks use, and callers of the
   *   partition `""`.
   * @returns undefined when the server needs none.
   * @throws NoCredentialsError when this principal's cannot be had: the call ends, nothing was sent, no server is blamed.
   *   What else it throws speaks about the server. Messages name places, never values; the next call asks again.
   */
  credentials(
    profile: ServerProfile,
    principal: string | undefined,
    signal: AbortSignal,
    origin: ServerOrigin,
  ): Promise<Credentials | undefined>;
  /**
   * The key of those who are asked for with the same credentials and may share connections: `""` for the server's own.
   * What callers learn of locks and entity tags is then kept apart by principal, too.
   *
   * Called for every attempt: keep it synchronous and cheap. Without it all principals share what the transport does
   * not keep apart.
   *
   * @throws NoCredentialsError when this principal, or a caller without one, may not ask this server.
   */
  partition?(profile: ServerProfile, principal: string | undefined, origin: ServerOrigin): string;
}

export interface Credentials {
  readonly username?: string;
  readonly password?: string;
  readonly token?: string;
}
