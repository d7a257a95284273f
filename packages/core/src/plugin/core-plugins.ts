import { allAggregator } from "../aggregator/all.ts";
import { fastestAggregator, firstAggregator } from "../aggregator/first.ts";
import { majorityAggregator } from "../aggregator/majority.ts";
import { defaultFailover } from "../failover/default-policy.ts";
import { pingProbe } from "../health/ping-probe.ts";
import { affinityMemory } from "../pool/affinity-memory.ts";
import { credentialsPrincipals } from "../pool/principal-credentials.ts";
import { credentialsProfile } from "../pool/profile-credentials.ts";
import type { AnyPlugin } from "./define-plugin.ts";
// Of the imports above nothing stays in the declarations, where these bring the types of options.
import "../failover/default-policy.ts";
import "../health/ping-probe.ts";
import "../pool/principal-options.ts";

/** What core itself brings: the parts that every pool needs and few replace. */
export const corePlugins: readonly AnyPlugin[] = [
  pingProbe,
  defaultFailover,
  affinityMemory,
  credentialsProfile,
  credentialsPrincipals,
  allAggregator,
  firstAggregator,
  fastestAggregator,
  majorityAggregator,
];
