import type { Credentials, CredentialSource } from "../contracts/credential-source.ts";
import { resolveSecret, type Secret, type SecretContext } from "../config/secret.ts";
import { definePlugin } from "../plugin/define-plugin.ts";
import { ENVIRONMENT } from "../plugin/tokens.ts";

/** The server's own `username`, `password` and `token`, the same for every principal. */
export function profileCredentials(context: SecretContext): CredentialSource {
  return {
    async credentials(profile, _principal, signal): Promise<Credentials | undefined> {
      const { username, password, token } = profile as { username?: string; password?: Secret; token?: Secret };
      if (username === undefined && password === undefined && token === undefined) return undefined;
      return {
        ...(username !== undefined && { username }),
        ...(password !== undefined && { password: await resolveSecret(password, context, signal) }),
        ...(token !== undefined && { token: await resolveSecret(token, context, signal) }),
      };
    },
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
