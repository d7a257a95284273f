import type { ProfileInput } from "../contracts/pool.ts";
import type { StoredServer } from "../contracts/profile-store.ts";
import type { Transport } from "../contracts/transport.ts";
import type { Wire } from "../contracts/wire.ts";

/** What a transport says of secrets in profiles. */
export type SecretRules = Pick<Transport<Wire>, "secretFields" | "secretsOrigin" | "accountFields">;

/** A profile as a store keeps it, with its secrets apart. */
export function toStored(profile: ProfileInput, { secretFields }: SecretRules): StoredServer {
  const { serverId, ...fields } = profile;
  const secret = new Set(secretFields);
  return {
    serverId,
    profile: Object.fromEntries(Object.entries(fields).filter(([field]) => !secret.has(field))),
    secrets: Object.fromEntries(
      secretFields.flatMap((field) => (typeof profile[field] === "string" ? [[field, profile[field]]] : [])),
    ),
  };
}

/** A stored server as a profile. */
export function fromStored({ serverId, profile, secrets }: StoredServer): ProfileInput {
  return { ...profile, ...secrets, serverId };
}

export interface MergedProfile {
  readonly written: ProfileInput;
  /** Fields that would have gone to another origin than they were given for. */
  readonly dropped: readonly string[];
}

/** A stored server with some fields changed. Secrets that are not given anew do not follow it to another origin. */
export function merged(
  stored: StoredServer,
  changes: Readonly<Record<string, unknown>>,
  { secretFields, secretsOrigin, accountFields = [] }: SecretRules,
): MergedProfile {
  const before = fromStored(stored);
  const written: ProfileInput = { ...before, ...changes, serverId: stored.serverId };
  if (!secretsOrigin || secretsOrigin(before) === secretsOrigin(written)) return { written, dropped: [] };
  const secrets = secretFields.filter((field) => before[field] !== undefined && changes[field] === undefined);
  // An account is of use to a secret that is given anew.
  const left = secretFields.some((field) => written[field] !== undefined && !secrets.includes(field));
  const accounts = accountFields.filter((field) => before[field] !== undefined && changes[field] === undefined);
  const dropped = [...secrets, ...(left ? [] : accounts)];
  return { written: { ...written, ...Object.fromEntries(dropped.map((field) => [field, undefined])) }, dropped };
}
