import type { SecretBox } from "./cipher.ts";

/** Where a value stands: pool's section, server, field. It opens nowhere else. */
export type Place = readonly [section: string, serverId: string, field: string];

export interface OpenedSecret {
  readonly text: string;
  /** Where it may be sent; null for anywhere. Undefined for one that was sealed before origins were kept. */
  readonly origin: string | null | undefined;
}

/** Seals a secret together with the origin that it may be sent to. */
export function sealSecret(box: SecretBox, { text, origin = null }: OpenedSecret, place: Place): string {
  return box.seal(JSON.stringify([origin, text]), [...place, "origin"]).replace(/^v1/, "v2");
}

/** @returns undefined for a value of another place or key, and for one that was altered. */
export function openSecret(box: SecretBox, sealed: string, place: Place): OpenedSecret | undefined {
  if (!sealed.startsWith("v2.")) {
    const text = box.open(sealed, place);
    return text === undefined ? undefined : { text, origin: undefined };
  }
  const opened = box.open(sealed.replace(/^v2/, "v1"), [...place, "origin"]);
  if (opened === undefined) return undefined;
  // Only this package seals, so it is what it seals.
  const [origin, text] = JSON.parse(opened) as [string | null, string];
  return { text, origin };
}
