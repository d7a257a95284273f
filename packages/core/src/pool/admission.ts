import type { Log } from "../contracts/log.ts";
import type { ProfileInput } from "../contracts/pool.ts";
import type { ServerOrigin } from "../contracts/server-profile.ts";
import type { Transport } from "../contracts/transport.ts";
import type { Wire } from "../contracts/wire.ts";
import type { CompleteProfile, ProfileReader } from "../config/server-profile.ts";
import { formatIssue } from "../errors/config-errors.ts";
import { InvalidProfileError } from "../errors/server-errors.ts";

export interface AdmissionParts<W extends Wire> {
  readonly transport: Transport<W>;
  readonly readProfile: ProfileReader;
  readonly log: Log;
}

/** Decides which profiles come into the pool. */
export class Admission<W extends Wire> {
  readonly #parts: AdmissionParts<W>;

  constructor(parts: AdmissionParts<W>) {
    this.#parts = parts;
  }

  /** @throws InvalidProfileError */
  read(written: ProfileInput): CompleteProfile {
    const { profile, issues } = this.#parts.readProfile(written);
    if (issues.length > 0) throw new InvalidProfileError(written.serverId, issues.map(formatIssue));
    return profile;
  }

  /** Checks a profile from an untrusted caller. */
  async admit(written: ProfileInput): Promise<CompleteProfile> {
    const profile = this.readUntrusted(written);
    await this.warn(profile, "added");
    return profile;
  }

  /** Reads a profile that no operator wrote, from a caller or from a file: it may make nobody read files or run commands. */
  readUntrusted(written: ProfileInput): CompleteProfile {
    const profile = this.read(written);
    const places = this.#parts.transport.secretFields.filter(
      (field) => profile[field] !== undefined && typeof profile[field] !== "string",
    );
    if (places.length > 0)
      throw new InvalidProfileError(profile.serverId, [
        `${places.join(", ")}: only the operator's configuration may name a place to read a secret from; give the secret itself.`,
      ]);
    return profile;
  }

  /** Lets the transport refuse a profile, or say what the operator should know. */
  async warn(profile: CompleteProfile, origin: ServerOrigin): Promise<void> {
    const { transport, log } = this.#parts;
    for (const warning of (await transport.admit?.(profile, origin)) ?? [])
      log.warn(warning, { serverId: profile.serverId });
  }
}
