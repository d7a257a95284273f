import type { CredentialSource } from "../contracts/credential-source.ts";
import type { ServerOrigin } from "../contracts/server-profile.ts";
import type { Transport } from "../contracts/transport.ts";
import type { Caller, Wire } from "../contracts/wire.ts";

/** Whose connections an attempt uses: what the transport keeps apart, and what the credentials do. */
export interface Partition {
  /** Equal only where both are: no name, however chosen, reaches another's connections. */
  readonly key: string;
  /** The transport's part. */
  readonly name: string;
  /** Whose credentials it has; undefined for the server's own. */
  readonly principal: string | undefined;
}

/** What health checks use, and every caller where nothing is kept apart. */
export const SHARED: Partition = { key: "", name: "", principal: undefined };

export interface PartitionParts<W extends Wire> {
  readonly transport: Transport<W>;
  readonly credentials: CredentialSource;
}

/** @throws NoCredentialsError where the caller has none for this server. */
export function partitionOf<W extends Wire>(
  { transport, credentials }: PartitionParts<W>,
  profile: W["profile"],
  origin: ServerOrigin,
  caller: Caller,
): Partition {
  const name = transport.partition?.(profile, caller) ?? "";
  if (!credentials.partition) return name === "" ? SHARED : { key: `:${name}`, name, principal: caller.principal };
  const who = credentials.partition(profile, caller.principal, origin);
  if (who !== "") return { key: `${name.length}:${name}${who}`, name, principal: caller.principal };
  return name === "" ? SHARED : { key: `:${name}`, name, principal: undefined };
}

/**
 * The key under which the owner of a lock or entity tag is remembered. Where principals have credentials of their own,
 * one path may be another file to each of them, and the same tag may stand for both: what one learns leads no other
 * astray, and pushes nobody to a server that knows nothing of it.
 *
 * It is no protection of locks, which is the servers' affair: whoever presents the lock of another names the server, and
 * is asked for with credentials of its own.
 */
export function affinityKey(credentials: CredentialSource, { principal }: Caller, key: string): string {
  return credentials.partition && principal !== undefined ? `${JSON.stringify(principal)} ${key}` : key;
}
