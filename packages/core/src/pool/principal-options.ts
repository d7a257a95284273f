import { Type, type Static } from "typebox";
import { SecretSchema } from "../config/secret.ts";
import { suggestion } from "../config/suggestion.ts";
import { member } from "../config/validate.ts";
import type { ConfigIssue } from "../errors/config-errors.ts";
import { isEmpty, type WrittenCredentials } from "./profile-credentials.ts";

const fields = {
  username: Type.Optional(Type.String({ conceal: true, description: "With password: Basic authentication." })),
  password: Type.Optional(SecretSchema({ description: "Text, or where to find it." })),
  token: Type.Optional(SecretSchema({ description: "Bearer token, instead of username and password." })),
};
const closed = { additionalProperties: false, conceal: true } as const;
const person = Type.Object(
  {
    ...fields,
    servers: Type.Optional(
      Type.Record(Type.String(), Type.Object(fields, closed), {
        conceal: true,
        description: "Credentials for single servers, by server id, in place of those for all.",
      }),
    ),
  },
  closed,
);

/** Options of the credentials plugin `principals`. Nothing of what they hold is shown where it is wrong. */
export const principalOptions = Type.Object({
  principals: Type.Record(Type.String(), person, {
    conceal: true,
    description: "Credentials by the principal's name: username and password, or token; and servers where they differ.",
  }),
  otherwise: Type.Optional(
    Type.Enum(["deny", "profile"], {
      default: "deny",
      description: "Callers that are not named here: an error, or the server's own credentials, which they share.",
    }),
  ),
});

declare module "../config/define-config.ts" {
  interface CredentialsOptions {
    principals: Static<typeof principalOptions>;
  }
}

/** One principal's credentials: for all declared servers, and for single ones in their place. */
export interface PrincipalEntry extends WrittenCredentials {
  readonly servers?: Readonly<Record<string, WrittenCredentials>>;
}

/** What the schema cannot see: credentials that are none, or two, and servers that are not there or left out. */
export function problemsOf(
  principals: Readonly<Record<string, PrincipalEntry>>,
  serverIds: readonly string[],
): readonly ConfigIssue[] {
  const issues: ConfigIssue[] = [];
  const judge = (path: string, written: WrittenCredentials) => {
    if (written.token !== undefined && (written.username !== undefined || written.password !== undefined))
      issues.push({
        path: member(path, "token"),
        message: "stands instead of username and password; give one or the other.",
      });
  };
  for (const [principal, entry] of Object.entries(principals)) {
    const path = member("principals", principal);
    const servers = Object.entries(entry.servers ?? {});
    judge(path, entry);
    if (principal === "") issues.push({ path, message: "has no name; principals are named as identity names them." });
    for (const [serverId, written] of servers) {
      const place = member(member(path, "servers"), serverId);
      judge(place, written);
      if (isEmpty(written)) issues.push({ path: place, message: "is empty; give username and password, or token." });
      if (serverIds.includes(serverId)) continue;
      const hint = suggestion(serverId, serverIds);
      issues.push({
        path: place,
        message: `the pool declares no server "${serverId}"; declared: ${serverIds.join(", ") || "none"}.`,
        ...(hint !== undefined && { suggestion: hint }),
      });
    }
    if (!isEmpty(entry)) continue;
    const missing = serverIds.filter((serverId) => !Object.hasOwn(entry.servers ?? {}, serverId));
    if (servers.length === 0)
      issues.push({ path, message: "is empty; give username and password, or token, or servers." });
    else if (missing.length > 0)
      issues.push({
        path: member(path, "servers"),
        message: `has nothing for ${missing.join(", ")}; name every server of the pool, or give credentials for all beside it.`,
      });
  }
  return issues;
}
