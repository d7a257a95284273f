import type { EnabledOverride, StoredState } from "../contracts/profile-store.ts";
import type { CompleteProfile } from "../config/server-profile.ts";

/** A declared profile with `enabled` as a caller wants it. */
export function overridden(profile: CompleteProfile, { overrides }: StoredState): CompleteProfile {
  const override = overrides?.[profile.serverId];
  return override ? { ...profile, enabled: override.enabled } : profile;
}

/** The state with a caller's word on one declared server, or without one. */
export function withOverride(state: StoredState, serverId: string, override: EnabledOverride | undefined): StoredState {
  const { overrides = {}, ...rest } = state;
  const { [serverId]: _former, ...others } = overrides;
  const kept = override ? { ...others, [serverId]: override } : others;
  return Object.keys(kept).length === 0 ? rest : { ...rest, overrides: kept };
}

/** The state without overrides that say what the configuration says; the same object where there are none. */
export function pruned(state: StoredState, declared: readonly CompleteProfile[]): StoredState {
  return declared.reduce(
    (kept, { serverId, enabled }) =>
      kept.overrides?.[serverId]?.enabled === enabled ? withOverride(kept, serverId, undefined) : kept,
    state,
  );
}
