import { createHmac } from "node:crypto";
import { SecretError } from "@davpool/core";

const PREFIX = "whsec_";
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$/;

/**
 * The key that a secret stands for: after `whsec_` its base64, decoded; otherwise the text's own bytes.
 * @param place where the secret comes from, for messages; the secret is in none of them.
 * @throws SecretError when there is no key in it.
 */
export function signingKey(secret: string, place: string): Buffer {
  const encoded = secret.startsWith(PREFIX) ? secret.slice(PREFIX.length) : undefined;
  if (encoded !== undefined && !BASE64.test(encoded))
    throw new SecretError(place, `what follows ${PREFIX} is not base64`);
  const key = encoded === undefined ? Buffer.from(secret, "utf8") : Buffer.from(encoded, "base64");
  if (key.byteLength === 0) throw new SecretError(place, "it is empty");
  return key;
}

/** The headers that let a receiver verify who sent a body, and when, as the Standard Webhooks specification has them. */
export function signedHeaders(key: Buffer, id: string, at: Date, body: string): Record<string, string> {
  const timestamp = String(Math.floor(at.getTime() / 1_000));
  const signature = createHmac("sha256", key).update(`${id}.${timestamp}.${body}`).digest("base64");
  return { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": `v1,${signature}` };
}
