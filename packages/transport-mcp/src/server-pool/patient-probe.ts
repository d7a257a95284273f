import { corePlugins, definePlugin, type HealthProbe, type PluginContext } from "@davpool/core";

export interface Patience {
  /** Failed checks in a row after which a server is offline. */
  readonly offlineThreshold: number;
  /** Checks of an offline server that may fail. */
  readonly reconnectAttempts: number;
  /** Told once that they have failed. */
  readonly giveUp: (serverId: string, error: unknown) => void;
}

/** The usual check, as often as one likes to see it fail. */
export function patientProbe({ offlineThreshold, reconnectAttempts, giveUp }: Patience) {
  return definePlugin({
    kind: "probe",
    name: "patient",
    create(context): HealthProbe {
      const usual = usualProbe(context);
      const failures = new Map<string, number>();
      return {
        async probe(target, signal) {
          const result = await usual.probe(target, signal);
          const { serverId } = target.profile;
          const count = result.state === "failed" ? (failures.get(serverId) ?? 0) + 1 : 0;
          const enough = count >= offlineThreshold + reconnectAttempts;
          if (count === 0 || enough) failures.delete(serverId);
          else failures.set(serverId, count);
          if (enough) giveUp(serverId, result.cause);
          return result;
        },
      };
    },
  });
}

function usualProbe(context: PluginContext): HealthProbe {
  const ping = corePlugins.find(({ kind, name }) => kind === "probe" && name === "ping");
  return ping?.create(context, {}) as HealthProbe;
}
