import type { ServerProfile } from "./server-profile.ts";

/** Finds the credentials for one server and one principal, when a connection is opened and not before. */
export interface CredentialSource {
  /**
   * @returns undefined when the server needs none.
   * @throws DavpoolError when a secret cannot be read; the message names its place, never its value.
   */
  credentials(
    profile: ServerProfile,
    principal: string | undefined,
    signal: AbortSignal,
  ): Promise<Credentials | undefined>;
}

export interface Credentials {
  readonly username?: string;
  readonly password?: string;
  readonly token?: string;
}
