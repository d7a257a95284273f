import type { ResolvedPool } from "../config/resolve-config.ts";

/** What the parts of a pool are called in its configuration, for messages about one of them. */
export interface PartNames {
  readonly strategy: string;
  readonly probe: string;
  readonly failover: string;
}

export function partNames({ strategy, probe, failover }: ResolvedPool): PartNames {
  return {
    strategy: String(strategy.plugin.name),
    probe: String(probe.plugin.name),
    failover: String(failover.plugin.name),
  };
}
