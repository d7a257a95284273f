export type * from "./contracts/index.ts";
export * from "./errors/index.ts";
export * from "./config/define-config.ts";
export type { PoolChanges } from "./config/compare-configs.ts";
export { filesOf } from "./config/import-anew.ts";
export { loadConfig, pluginImporter } from "./config/load-config.ts";
export type { LoadedConfig } from "./config/load-config.ts";
export { resolveConfig } from "./config/resolve-config.ts";
export type {
  CheckedPoolName,
  HealthSettings,
  LimitSettings,
  PluginUse,
  ResolveOptions,
  ResolvedConfig,
  ResolvedPool,
} from "./config/resolve-config.ts";
export { ID_PATTERN, composeSchema, serverProfileFields } from "./config/schema.ts";
export { SecretSchema, resolveSecret } from "./config/secret.ts";
export type { Secret, SecretContext } from "./config/secret.ts";
export { suggestion } from "./config/suggestion.ts";
export { member, validator } from "./config/validate.ts";
export type { Validator } from "./config/validate.ts";
export { allAggregator, allAnswers } from "./aggregator/all.ts";
export { corePlugins } from "./plugin/core-plugins.ts";
export { CONTRACT_VERSION, definePlugin } from "./plugin/define-plugin.ts";
export type {
  AnyPlugin,
  CheckedPool,
  Plugin,
  PluginContext,
  PluginContracts,
  PluginKind,
} from "./plugin/define-plugin.ts";
export { PluginRegistry, isPlugin, pluginProblem } from "./plugin/registry.ts";
export { Scope, token } from "./plugin/scope.ts";
export type { Services, Token } from "./plugin/scope.ts";
export * from "./plugin/tokens.ts";
export { defaultFailoverPolicy } from "./failover/default-policy.ts";
export { AddressGuard, hostOf, isLoopback } from "./security/address-guard.ts";
export { openPools } from "./pool/open-pools.ts";
export type { OpenOptions, OpenPools, Provider } from "./pool/open-pools.ts";
export { Deadlines } from "./time/deadlines.ts";
export type { Timed } from "./time/deadlines.ts";
export { DurationSchema, milliseconds } from "./time/duration.ts";
export type { Duration } from "./time/duration.ts";
export { createManualClock } from "./time/manual-clock.ts";
export type { ManualClock } from "./time/manual-clock.ts";
export { retryAfter } from "./time/retry-after.ts";
export { sleep } from "./time/sleep.ts";
export type { SleepOptions } from "./time/sleep.ts";
export { systemClock } from "./time/system-clock.ts";
export { version } from "./telemetry/version.ts";
