import type { Credentials, CredentialSource } from "../contracts/credential-source.ts";
import { resolveSecret, type Secret, type SecretContext } from "../config/secret.ts";
import { definePlugin } from "../plugin/define-plugin.ts";
import { ENVIRONMENT } from "../plugin/tokens.ts";

/** Credentials as they are written, in a profile or elsewhere. */
export interface WrittenCredentials {
  readonly username?: string;
  readonly password?: Secret;
  readonly token?: Secret;
}

/** True where nothing is written: what there is no need of, or what was forgotten. */
export function isEmpty({ username, password, token }: WrittenCredentials): boolean {
  return username === undefined && password === undefined && token === undefined;
}

/** Finds the secrets in them. Undefined when there is nothing written. @throws SecretError */
export async function readCredentials(
  written: WrittenCredentials,
  context: SecretContext,
  signal: AbortSignal,
): Promise<Credentials | undefined> {
  if (isEmpty(written)) return undefined;
  const { username, password, token } = written;
  return {
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password: await resolveSecret(password, context, signal) }),
    ...(token !== undefined && { token: await resolveSecret(token, context, signal) }),
  };
}

/** The server's own `username`, `password` and `token`, the same for every principal. */
export function profileCredentials(context: SecretContext): CredentialSource {
  return {
    credentials: (profile, _principal, signal) => readCredentials(profile as WrittenCredentials, context, signal),
  };
}

export const credentialsProfile = definePlugin({
  kind: "credentials",
  name: "profile",
  create: (context) =>
    profileCredentials({
      environment: context.services.get(ENVIRONMENT),
      baseDirectory: context.baseDirectory,
    }),
});
