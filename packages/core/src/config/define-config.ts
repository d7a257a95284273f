import type { Static, TSchema } from "typebox";
import type { AnyPlugin, Plugin, PluginKind } from "../plugin/define-plugin.ts";
import type { Duration } from "../time/duration.ts";
import type { ServerProfile } from "../contracts/server-profile.ts";

/*
 * Maps from a plugin's name to its options. The package that registers a name adds it here:
 *
 *   declare module "@davpool/core" {
 *     interface SelectorOptions { sticky: { seed?: number } }
 *   }
 */
/* oxlint-disable typescript/no-empty-object-type, typescript/no-empty-interface -- filled by other packages */
export interface SelectorOptions {}
export interface ProbeOptions {}
export interface FailoverOptions {}
export interface StoreOptions {}
export interface TransportOptions {}
export interface PolicyOptions {}
export interface AggregatorOptions {}
export interface NotifierOptions {}
export interface AffinityOptions {}
export interface CredentialsOptions {}
/** From a transport's name to the profile of its servers, as it is written. */
export interface TransportProfiles {}
/** Top-level keys beyond core's own, such as `tools`. */
export interface ConfigSections {}
/* oxlint-enable typescript/no-empty-object-type, typescript/no-empty-interface */

interface OptionsByKind {
  selector: SelectorOptions;
  probe: ProbeOptions;
  failover: FailoverOptions;
  store: StoreOptions;
  transport: TransportOptions;
  policy: PolicyOptions;
  aggregator: AggregatorOptions;
  notifier: NotifierOptions;
  affinity: AffinityOptions;
  credentials: CredentialsOptions;
}

type UsableKind = keyof OptionsByKind;
type RequiredKeys<T> = { [P in keyof T]-?: object extends Pick<T, P> ? never : P }[keyof T];
type Named<N extends string, O> = ({ readonly type: N } & O) | ([RequiredKeys<O>] extends [never] ? N : never);
type FromMap<K extends UsableKind> = {
  [N in keyof OptionsByKind[K] & string]: Named<N, OptionsByKind[K][N]>;
}[keyof OptionsByKind[K] & string];
// By its parts: whether one plugin type extends another depends on what it creates, which does not matter here.
type FromPlugins<P extends readonly unknown[], K extends PluginKind> = P[number] extends infer U
  ? U extends { readonly kind: K; readonly name: infer N extends string; readonly options: infer S extends TSchema }
    ? Named<N, Static<S>>
    : never
  : never;

declare const untyped: unique symbol;

/** A plugin whose name no type knows; the schema checks its options. */
export interface Untyped {
  readonly [untyped]: true;
  readonly type: string;
}

/** Names a plugin that the types do not know, such as one from a package listed in `plugins`. */
export function named(type: string, options: Readonly<Record<string, unknown>> = {}): Untyped {
  return { ...options, type } as unknown as Untyped;
}

/** The ways to name a plugin: by name, by name and options, or by value. */
export type Use<P extends readonly unknown[], K extends UsableKind> =
  | FromMap<K>
  | FromPlugins<P, K>
  // oxlint-disable-next-line typescript/no-explicit-any -- a plugin as a value, whatever its options
  | Plugin<K, any, any, any>
  | Untyped;

export interface HealthConfig {
  readonly enabled?: boolean;
  readonly failures?: number;
  readonly successes?: number;
  readonly timeout?: Duration;
  readonly recoveryInterval?: Duration;
  readonly ejection?: Duration;
  readonly slowStart?: Duration;
  readonly rejections?: number;
  readonly rejectionCodes?: readonly number[];
  readonly checksPerSecond?: number;
}

export interface LimitsConfig {
  readonly queue?: false | { readonly size?: number; readonly timeout?: Duration };
  readonly minimumRate?: number;
  readonly retryBudget?: number;
  readonly broadcastConcurrency?: number;
}

export interface SecurityConfig {
  readonly allowHosts?: readonly string[];
  readonly allowCleartext?: boolean;
  readonly managementTools?: boolean;
}

interface PoolConfigBase<P extends readonly unknown[]> {
  readonly strategy?: Use<P, "selector">;
  readonly probe?: Use<P, "probe">;
  readonly failover?: Use<P, "failover">;
  readonly policies?: readonly Use<P, "policy">[];
  readonly notifiers?: readonly Use<P, "notifier">[];
  readonly credentials?: Use<P, "credentials">;
  readonly affinity?: Use<P, "affinity">;
  readonly health?: HealthConfig;
  readonly limits?: LimitsConfig;
  readonly hedging?: false | { readonly percentile?: number; readonly least?: Duration };
  readonly deadline?: Duration;
  readonly tiers?: boolean;
  readonly writes?: "balanced" | "primary";
  readonly aggregator?: "all" | "first" | "fastest" | "majority" | Use<P, "aggregator">;
  readonly serverDefaults?: Partial<Omit<ServerProfile, "serverId">>;
}

type KnownPool<P extends readonly unknown[]> = {
  [N in keyof TransportProfiles & string]: PoolConfigBase<P> & {
    readonly transport: Named<N, N extends keyof TransportOptions ? TransportOptions[N] : object>;
    readonly servers?: readonly TransportProfiles[N][];
  };
}[keyof TransportProfiles & string];

interface UnknownPool<P extends readonly unknown[]> extends PoolConfigBase<P> {
  // oxlint-disable-next-line typescript/no-explicit-any -- a transport as a value, whatever its options
  readonly transport: Untyped | Plugin<"transport", any, any, any>;
  readonly servers?: readonly ({ readonly serverId: string } & Readonly<Record<string, unknown>>)[];
}

export type PoolConfig<P extends readonly unknown[] = readonly unknown[]> = KnownPool<P> | UnknownPool<P>;

/** What `davpool.config.ts` exports. */
export interface Config<P extends readonly unknown[] = readonly unknown[]> extends ConfigSections {
  readonly plugins?: P;
  readonly store?: Use<P, "store">;
  readonly pools: Readonly<Record<string, PoolConfig<P>>>;
  readonly security?: SecurityConfig;
}

/** Gives a configuration its types: names, options and profiles are completed and checked by the editor. */
export function defineConfig<const P extends readonly (AnyPlugin | string)[] = []>(config: Config<P>): Config<P> {
  return config;
}
