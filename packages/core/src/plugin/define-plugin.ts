import { Type, type Static, type TObject, type TProperties, type TSchema } from "typebox";
import type { AffinityStore } from "../contracts/affinity-store.ts";
import type { Aggregator } from "../contracts/aggregator.ts";
import type { CredentialSource } from "../contracts/credential-source.ts";
import type { FailoverPolicy } from "../contracts/failover-policy.ts";
import type { HealthProbe } from "../contracts/health-probe.ts";
import type { Notifier } from "../contracts/notifier.ts";
import type { Policy } from "../contracts/policy.ts";
import type { ProfileStore } from "../contracts/profile-store.ts";
import type { Selector } from "../contracts/selector.ts";
import type { ServerProfile } from "../contracts/server-profile.ts";
import type { Transport } from "../contracts/transport.ts";
import type { Clock } from "../contracts/clock.ts";
import type { Log } from "../contracts/log.ts";
import type { ConfigIssue } from "../errors/config-errors.ts";
import type { Services, Token } from "./scope.ts";

/** Version of the plugin contract. A plugin made for another one is refused with both numbers. */
export const CONTRACT_VERSION = 1;

/** What each kind of plugin creates. */
export interface PluginContracts {
  transport: Transport;
  selector: Selector;
  probe: HealthProbe;
  failover: FailoverPolicy;
  store: ProfileStore;
  affinity: AffinityStore;
  credentials: CredentialSource;
  policy: Policy;
  notifier: Notifier;
  aggregator: Aggregator;
  /** Anything, offered to other plugins under the token in `provides`. */
  service: unknown;
}

export type PluginKind = keyof PluginContracts;

/** What a plugin is given when it is created. */
export interface PluginContext {
  /** Name of the pool the instance is for; empty for a service, which all pools share. */
  readonly pool: string;
  /** True for the first pool of the configuration, whose state a store may keep without naming the pool. */
  readonly primary: boolean;
  readonly clock: Clock;
  /** Random numbers in [0, 1). Use it instead of `Math.random`, so that tests can repeat a run. */
  readonly random: () => number;
  readonly log: Log;
  /** What core and service plugins provide, by token. */
  readonly services: Services;
  /** The folder that relative paths in the configuration count from. */
  readonly baseDirectory: string;
}

/** What a plugin's options may have to do with. */
export interface CheckedPool {
  /** Of the servers that the configuration declares. */
  readonly serverIds: readonly string[];
}

/** A plugin as {@link definePlugin} returns it: one plain value. */
export interface Plugin<
  K extends PluginKind = PluginKind,
  N extends string = string,
  S extends TSchema = TSchema,
  T = PluginContracts[K],
> {
  readonly contract: typeof CONTRACT_VERSION;
  readonly kind: K;
  /** The name used in configuration. */
  readonly name: N;
  /** Other spellings of the name that configurations may use. */
  readonly aliases?: readonly string[];
  /** Takes the place of a plugin of the same kind and name, such as one of davpool's own. Default: false, an error. */
  readonly override?: boolean;
  /** Schema of the plugin's options; part of the configuration's schema. */
  readonly options: S;
  /** Transports only: the profile fields beyond those that every server has. */
  readonly profile?: TObject;
  /**
   * Transports only: what is wrong with the profile of a declared server that its schema cannot see. Asked while the
   * configuration is checked, of profiles that fit the schema, with every default filled in; paths count from the server.
   */
  checkProfile?(profile: ServerProfile): readonly ConfigIssue[];
  /** Services only: where others find the instance. */
  readonly provides?: Token<T>;
  /**
   * What is wrong with options that fit the schema, in view of the pool they are for. Asked while the configuration is
   * checked; paths count from the options.
   */
  check?(options: Static<S>, pool: CheckedPool): readonly ConfigIssue[];
  /**
   * Makes one instance: per pool, or one for all for a service. Neither waits nor starts anything. The instance is disposed
   * of with its pool, for at most 5 seconds; what goes wrong then is logged.
   */
  create(context: PluginContext, options: Static<S>): T;
  /**
   * Awaited before the pool takes requests, in the order of creation, for at most 30 seconds.
   * @param signal aborts when nobody waits for it any more.
   */
  start?(instance: T, signal: AbortSignal): Promise<void>;
}

// The only place where the type parameters of a plugin do not matter.
// oxlint-disable-next-line typescript/no-explicit-any
export type AnyPlugin = Plugin<any, any, any, any>;

type Definition<K extends PluginKind, N extends string, S extends TSchema, T> = Omit<
  Plugin<K, N, S, T>,
  "contract" | "options"
> & { readonly options?: S };

/**
 * Defines a plugin.
 *
 * @example
 * ```ts
 * import { definePlugin } from "@davpool/core";
 * import { Type } from "typebox";
 *
 * export default definePlugin({
 *   kind: "selector",
 *   name: "sticky",
 *   options: Type.Object({ seed: Type.Optional(Type.Integer({ default: 0 })) }),
 *   create: (_context, { seed = 0 }) => ({
 *     select: (candidates) => candidates[seed % candidates.length] ?? candidates[0],
 *   }),
 * });
 * ```
 */
export function definePlugin<
  K extends PluginKind,
  const N extends string,
  T extends PluginContracts[K],
  S extends TSchema = TObject<TProperties>,
>(definition: Definition<K, N, S, T>): Plugin<K, N, S, T> {
  return {
    ...definition,
    contract: CONTRACT_VERSION,
    options: definition.options ?? (Type.Object({}) as unknown as S),
  };
}
