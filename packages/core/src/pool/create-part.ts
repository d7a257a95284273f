import type { PluginUse, ResolvedConfig, ResolvedPool } from "../config/resolve-config.ts";
import type { PluginContext } from "../plugin/define-plugin.ts";
import type { Scope, Token } from "../plugin/scope.ts";
import { CLOCK, LOG, RANDOM } from "../plugin/tokens.ts";

/** What a plugin is given: its scope's services, and whose part it makes. */
export function contextFor(
  scope: Scope,
  config: Pick<ResolvedConfig, "baseDirectory">,
  settings?: Pick<ResolvedPool, "name" | "primary">,
): PluginContext {
  return {
    pool: settings?.name ?? "",
    primary: settings?.primary ?? false,
    clock: scope.get(CLOCK),
    random: scope.get(RANDOM),
    log: scope.get(LOG),
    services: scope,
    baseDirectory: config.baseDirectory,
  };
}

/** Creates what a plugin makes, has the scope own it, and starts it. */
export async function createPart<T>(
  scope: Scope,
  { plugin, options }: PluginUse,
  context: PluginContext,
  signal: AbortSignal,
  token: Token<T> | undefined,
): Promise<T> {
  signal.throwIfAborted();
  const instance = plugin.create(context, options) as T;
  if (token) scope.provide(token, instance);
  else scope.own(instance);
  await plugin.start?.(instance, signal);
  return instance;
}
