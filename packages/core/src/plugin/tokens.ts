import type { AffinityStore } from "../contracts/affinity-store.ts";
import type { Clock } from "../contracts/clock.ts";
import type { CredentialSource } from "../contracts/credential-source.ts";
import type { FailoverPolicy } from "../contracts/failover-policy.ts";
import type { HealthProbe } from "../contracts/health-probe.ts";
import type { Log } from "../contracts/log.ts";
import type { Policy } from "../contracts/policy.ts";
import type { Pool } from "../contracts/pool.ts";
import type { ProfileStore } from "../contracts/profile-store.ts";
import type { Selector } from "../contracts/selector.ts";
import type { Transport } from "../contracts/transport.ts";
import { token } from "./scope.ts";

/** What the operator allows for servers that are added at run time. */
export interface SecurityRules {
  /** Host names, addresses or networks (`10.0.0.0/8`) that added servers may use although they are not public. */
  readonly allowHosts: readonly string[];
  /** Credentials over `http:` to other machines. */
  readonly allowCleartext: boolean;
}

export const CLOCK = token<Clock>("davpool:clock");
/** Random numbers in [0, 1). */
export const RANDOM = token<() => number>("davpool:random");
export const LOG = token<Log>("davpool:log");
export const SECURITY = token<SecurityRules>("davpool:security");
/** Environment variables, as `process.env` has them. */
export const ENVIRONMENT = token<Readonly<Record<string, string | undefined>>>("davpool:environment");

export const TRANSPORT = token<Transport>("davpool:transport");
export const SELECTOR = token<Selector>("davpool:selector");
export const PROBE = token<HealthProbe>("davpool:probe");
export const FAILOVER = token<FailoverPolicy>("davpool:failover");
export const STORE = token<ProfileStore>("davpool:store");
export const AFFINITY = token<AffinityStore>("davpool:affinity");
export const CREDENTIALS = token<CredentialSource>("davpool:credentials");
export const POLICIES = token<readonly Policy[]>("davpool:policies");
export const POOL = token<Pool>("davpool:pool");
