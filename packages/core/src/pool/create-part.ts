import type { PluginUse, ResolvedConfig, ResolvedPool } from "../config/resolve-config.ts";
import { isDavpoolError } from "../errors/davpool-error.ts";
import {
  PluginFailedError,
  ServiceMissingError,
  describePlugin,
  describeThrown,
  type PluginPlace,
} from "../errors/plugin-errors.ts";
import type { PluginContext, PluginContracts, PluginKind } from "../plugin/define-plugin.ts";
import type { Scope, Token } from "../plugin/scope.ts";
import { CLOCK, LOG, RANDOM } from "../plugin/tokens.ts";
import { inTime } from "../time/in-time.ts";

/** Milliseconds that a plugin may take to start. */
export const START_LIMIT = 30_000;
/** Milliseconds that what a plugin made may take to close. */
export const CLOSE_LIMIT = 5_000;

/** Without which nothing works that a plugin of the kind makes. */
const METHODS: {
  readonly [K in Exclude<PluginKind, "service" | "policy" | "notifier">]: readonly Extract<
    keyof PluginContracts[K],
    string
  >[];
} = {
  transport: ["connect", "traits", "judge", "explain", "discard"],
  selector: ["select"],
  probe: ["probe"],
  failover: ["decide"],
  store: ["load", "update", "loadHealth", "updateHealth"],
  affinity: ["get", "set", "delete"],
  credentials: ["credentials"],
  aggregator: ["aggregate"],
};

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
  use: PluginUse,
  context: PluginContext,
  signal: AbortSignal,
  token: Token<T> | undefined,
): Promise<T> {
  signal.throwIfAborted();
  const instance = make(use, context) as T;
  if (token) scope.lend(token, instance);
  scope.own(closing(use, instance, context));
  await start(use, instance, context, signal);
  return instance;
}

/** Has a plugin create its instance. @throws PluginFailedError, or what the plugin throws on purpose */
export function make(use: PluginUse, context: PluginContext): unknown {
  const { plugin, options } = use;
  const place = placeFor(use, context);
  let instance: unknown;
  try {
    instance = plugin.create(context, options);
  } catch (error) {
    throw failure(place, "create", error);
  }
  if (plugin.kind === "service") return instance;
  if (instance instanceof Promise) {
    instance.catch(() => undefined);
    throw new PluginFailedError(place, "returned a promise from create; what takes time belongs into start");
  }
  if (typeof instance !== "function" && (typeof instance !== "object" || instance === null))
    throw new PluginFailedError(place, `returned ${String(instance)} from create, which is nothing to work with`);
  const required: readonly string[] = METHODS[plugin.kind as keyof typeof METHODS] ?? [];
  const missing = required.filter((method) => typeof (instance as Record<string, unknown>)[method] !== "function");
  if (missing.length > 0)
    throw new PluginFailedError(
      place,
      `returned something without ${missing.join(", ")} from create; a ${String(plugin.kind)} needs ${required.join(", ")}`,
    );
  return instance;
}

/** Has a plugin start its instance. @throws PluginFailedError, or what the plugin throws on purpose */
export async function start(
  use: PluginUse,
  instance: unknown,
  context: PluginContext,
  signal: AbortSignal,
): Promise<void> {
  const { plugin } = use;
  if (!plugin.start) return;
  const place = placeFor(use, context);
  const late = new AbortController();
  try {
    await inTime(plugin.start(instance, AbortSignal.any([signal, late.signal])), context.clock, START_LIMIT, () => {
      const error = new PluginFailedError(place, `did not start: its start had not ended after ${START_LIMIT} ms`);
      late.abort(error);
      return error;
    });
  } catch (error) {
    if (signal.aborted) throw error;
    throw failure(place, "start", error);
  }
}

/**
 * Disposes of what a plugin made. What goes wrong then is logged and nothing else: the other parts are to be closed as
 * well, and nobody is left who could do anything about it.
 */
export function closing(use: PluginUse, instance: unknown, context: PluginContext): AsyncDisposable {
  return {
    async [Symbol.asyncDispose]() {
      const part = instance as Partial<AsyncDisposable & Disposable> | null | undefined;
      const place = placeFor(use, context);
      const { clock, log } = context;
      try {
        if (typeof part?.[Symbol.asyncDispose] === "function") {
          const late = () => new Error(`its disposal had not ended after ${CLOSE_LIMIT} ms, and goes on unwatched`);
          await inTime(part[Symbol.asyncDispose]?.(), clock, CLOSE_LIMIT, late);
        } else if (typeof part?.[Symbol.dispose] === "function") part[Symbol.dispose]?.();
      } catch (error) {
        log.error(`The ${describePlugin(place)} could not be closed: ${describeThrown(error)}.`, {
          plugin: place.name,
        });
      }
    },
  };
}

function placeFor({ plugin }: PluginUse, { pool }: PluginContext): PluginPlace {
  return { kind: String(plugin.kind), name: String(plugin.name), pool };
}

function failure(place: PluginPlace, step: "create" | "start", error: unknown): unknown {
  if (error instanceof ServiceMissingError) return new ServiceMissingError(error.service, place);
  // On purpose, and in words of its own.
  if (isDavpoolError(error)) return error;
  return new PluginFailedError(place, `failed in ${step}: ${describeThrown(error)}`, { cause: error });
}
