import { DurationSchema, milliseconds, type Duration } from "@davpool/core";
import { Type, type Static } from "typebox";
import type { CircuitSettings } from "./circuit-breaker.ts";

export const sessionsSection = Type.Object(
  {
    enabled: Type.Optional(
      Type.Boolean({
        default: true,
        description: "Off: every request of a 2025-era client is served by itself, without a session.",
      }),
    ),
    idle: Type.Optional(
      DurationSchema({ default: "10m", description: "A session that is not used for so long ends." }),
    ),
    lifetime: Type.Optional(
      DurationSchema({ default: "24h", description: "The longest that a session lasts, however it is used." }),
    ),
    perPrincipal: Type.Optional(
      Type.Integer({
        minimum: 1,
        default: 8,
        description: "Sessions of one principal; a further one takes the place of the one that was idle longest.",
      }),
    ),
    total: Type.Optional(
      Type.Integer({
        minimum: 1,
        default: 10_000,
        description: "Sessions in all; whoever comes when there are so many is served without one.",
      }),
    ),
    operationTimeout: Type.Optional(
      DurationSchema({ default: "30s", description: "Time one call of a tool may take; the session goes on." }),
    ),
    circuit: Type.Optional(
      Type.Object(
        {
          failures: Type.Optional(
            Type.Integer({ minimum: 1, default: 5, description: "Calls in a row that ran out of time." }),
          ),
          pause: Type.Optional(
            DurationSchema({ default: "10s", description: "Time until the next call is let through, to see." }),
          ),
        },
        {
          additionalProperties: false,
          description:
            "When a principal's calls of a pool are refused: only calls that ask its servers, and only of that pool.",
        },
      ),
    ),
  },
  { additionalProperties: false, description: "Sessions of HTTP clients that speak a 2025 protocol." },
);

export type SessionsSection = Static<typeof sessionsSection>;

/** Durations in milliseconds. */
export interface SessionSettings {
  readonly enabled: boolean;
  readonly idle: number;
  readonly lifetime: number;
  readonly perPrincipal: number;
  readonly total: number;
  readonly operationTimeout: number;
  readonly circuit: CircuitSettings;
}

export function sessionSettings(section: SessionsSection = {}): SessionSettings {
  const { idle = "10m", lifetime = "24h", operationTimeout = "30s" } = section;
  const ms = (duration: Duration) => milliseconds(duration);
  return {
    enabled: section.enabled ?? true,
    idle: ms(idle),
    lifetime: ms(lifetime),
    perPrincipal: section.perPrincipal ?? 8,
    total: section.total ?? 10_000,
    operationTimeout: ms(operationTimeout),
    circuit: { failures: section.circuit?.failures ?? 5, pause: ms(section.circuit?.pause ?? "10s") },
  };
}
