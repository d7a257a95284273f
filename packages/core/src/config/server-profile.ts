import type { TSchema } from "typebox";
import type { ProfileInput } from "../contracts/pool.ts";
import type { ServerProfile } from "../contracts/server-profile.ts";
import type { ConfigIssue } from "../errors/config-errors.ts";
import type { AnyPlugin } from "../plugin/define-plugin.ts";
import { plainCopy } from "./plain-copy.ts";
import { serverSchema } from "./schema.ts";
import { validator } from "./validate.ts";

export type CompleteProfile = ServerProfile & ProfileInput;

/** Checks a profile as it was written and fills in the pool's and then the general defaults. */
export type ProfileReader = (
  written: Readonly<Record<string, unknown>>,
  path?: string,
) => { readonly profile: CompleteProfile; readonly issues: readonly ConfigIssue[] };

// One object per transport, so that each is compiled once.
const schemas = new WeakMap<object, TSchema>();
const UNKNOWN = {};

/**
 * @param transport undefined where nobody knows it: then the fields are read that every server has.
 * @param defaults fields for servers that do not say otherwise, already checked.
 */
export function profileReader(
  transport: AnyPlugin | undefined,
  defaults: Readonly<Record<string, unknown>>,
): ProfileReader {
  const schema = schemas.get(transport ?? UNKNOWN) ?? serverSchema(transport);
  schemas.set(transport ?? UNKNOWN, schema);
  const check = validator(schema);
  return (written, path = "") => {
    const profile = { ...(plainCopy(defaults) as object), ...(plainCopy(written) as object) };
    const issues = check(profile, path);
    return { profile: profile as CompleteProfile, issues };
  };
}
