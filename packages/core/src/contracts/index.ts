export type { Aggregate, AggregateContext, Aggregator, Quorum, ServerResult } from "./aggregator.ts";
export type { AffinityChange, AffinityStore, Ownership } from "./affinity-store.ts";
export type { Clock } from "./clock.ts";
export type { Attempt, ConnectInit, Connection, ConnectionStats } from "./connection.ts";
export type { Credentials, CredentialSource } from "./credential-source.ts";
export type { AttemptRecord, FailoverContext, FailoverDecision, FailoverPolicy } from "./failover-policy.ts";
export type { Failure, FailureKind } from "./failure.ts";
export type { HealthProbe, ProbeResult, ProbeTarget } from "./health-probe.ts";
export type { Log, LogFields } from "./log.ts";
export type { Notice, NoticeKind, Notifier } from "./notifier.ts";
export type { Policy, PolicyCall, PolicyResult, Ruling, ServersChange } from "./policy.ts";
export type {
  ActiveServerChange,
  Answer,
  BroadcastOptions,
  CallOptions,
  ChangeOptions,
  Consume,
  HealthChange,
  Pool,
  PoolEvents,
  PoolStats,
  ProfileInput,
  RemovedServer,
  ServerStatus,
  UpdatedServer,
} from "./pool.ts";
export type {
  EnabledOverride,
  HealthSnapshot,
  ProfileStore,
  RequestCounters,
  StoredHealth,
  StoredServer,
  StoredSnapshot,
  StoredState,
} from "./profile-store.ts";
export type { Repeat, RequestTraits } from "./request-traits.ts";
export type { HealthState, Observation, Selector, ServerView } from "./selector.ts";
export type { ServerOrigin, ServerProfile } from "./server-profile.ts";
export type { Transport } from "./transport.ts";
export type { Caller, MaybePromise, Wire } from "./wire.ts";
