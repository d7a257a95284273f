import type { HealthProbe, PluginUse, ProbeResult, ProbeTarget } from "@davpool/core";

export interface Check extends ProbeResult {
  readonly at: Date;
}

/** The latest check of each server of a pool, as its probe reported it. */
export class Checks {
  readonly #latest = new Map<string, Check>();
  readonly #waiting = new Set<() => void>();

  of(serverId: string): Check | undefined {
    return this.#latest.get(serverId);
  }

  /** The same probe, whose results are noted here. */
  noting({ plugin, options }: PluginUse): PluginUse {
    const originals = new WeakMap<HealthProbe, HealthProbe>();
    return {
      options,
      plugin: {
        ...plugin,
        create: (context, written) => {
          const original = plugin.create(context, written) as HealthProbe;
          const probe: HealthProbe = { probe: (target, signal) => this.#probe(original, target, signal) };
          originals.set(probe, original);
          return probe;
        },
        ...(plugin.start && {
          start: async (probe: HealthProbe, signal: AbortSignal) => plugin.start?.(originals.get(probe), signal),
        }),
      },
    };
  }

  /** Resolves when each of these servers has been checked, or the signal aborts. */
  async all(serverIds: readonly string[], signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const look = () => {
      if (signal.aborted || serverIds.every((serverId) => this.#latest.has(serverId))) resolve();
    };
    this.#waiting.add(look);
    signal.addEventListener("abort", look, { once: true });
    look();
    await promise;
    this.#waiting.delete(look);
    signal.removeEventListener("abort", look);
  }

  async #probe(probe: HealthProbe, target: ProbeTarget, signal: AbortSignal): Promise<ProbeResult> {
    const { profile, clock } = target;
    const [at, start] = [clock.wall(), clock.now()];
    let result: ProbeResult;
    try {
      // One that overlooks its signal must not be waited for.
      result = await Promise.race([probe.probe(target, signal), whenAborted(signal)]);
    } catch (cause) {
      result = { state: "failed", latency: clock.now() - start, cause };
    }
    this.#latest.set(profile.serverId, { ...result, at });
    for (const look of this.#waiting) look();
    return result;
  }
}

function whenAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- the engine's reason, an error
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
