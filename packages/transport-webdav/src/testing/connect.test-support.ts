import { AddressGuard, createManualClock, type ConnectInit } from "@davpool/core";
import { WebDavConnection, type ConnectionSettings } from "../connection.ts";
import type { WebDavProfile } from "../wire.ts";

export interface ConnectOptions {
  readonly settings?: Partial<ConnectionSettings>;
  readonly profile?: Partial<WebDavProfile>;
  readonly init?: Partial<ConnectInit>;
  readonly guard?: AddressGuard;
}

export const SETTINGS: ConnectionSettings = {
  idleTimeout: 60_000,
  connectTimeout: 10_000,
  preconnect: 1,
  healthCheck: "OPTIONS",
  userAgent: "davpool/test",
};

export function profileOf(url: string, profile: Partial<WebDavProfile> = {}): WebDavProfile {
  return {
    serverId: "a",
    url,
    priority: 1,
    weight: 1,
    maxConnections: 4,
    timeout: 30_000,
    retryAttempts: 0,
    healthCheckInterval: 0,
    enabled: true,
    ...profile,
  };
}

/** A connection to one server, without an engine. */
export function connect(url: string, options: ConnectOptions = {}): WebDavConnection {
  return new WebDavConnection(
    profileOf(url, options.profile),
    {
      partition: "",
      credentials: undefined,
      origin: "declared",
      signal: new AbortController().signal,
      clock: createManualClock(),
      ...options.init,
    },
    { ...SETTINGS, ...options.settings },
    options.guard ?? new AddressGuard([]),
  );
}
