import type { HealthSnapshot, RequestCounters, StoredHealth, StoredSnapshot } from "@davpool/core";
import { FormatError } from "./format-error.ts";
import { FORMAT_VERSION, object, parseJson, sectionOf, type JsonObject, type Owner } from "./format.ts";

const STATES: readonly unknown[] = ["healthy", "degraded", "unhealthy"] satisfies HealthSnapshot["status"][];

const NO_REQUESTS: RequestCounters = { total: 0, successful: 0, failed: 0, failoverCount: 0, responseTimeSum: 0 };

/** @throws FormatError for anything but a health file of this version, so that it is replaced. */
export function parseHealthDocument(text: string): JsonObject {
  const document = object(parseJson(text), "the content");
  if (document.version !== FORMAT_VERSION) throw new FormatError("`version` is another one");
  readSection(document, "");
  for (const name of Object.keys(sections(document))) readSection(document, name);
  return document;
}

export function readHealth(document: JsonObject, owner: Owner): StoredHealth {
  return readSection(document, sectionOf(document, owner));
}

/** The document with one pool's section replaced and everything else as it was. */
export function writeHealth(document: JsonObject, owner: Owner, { servers, counters }: StoredHealth): JsonObject {
  const name = sectionOf(document, owner);
  const written = { servers, counters };
  if (name === "") return { version: FORMAT_VERSION, pool: owner.pool, ...document, ...written };
  return { version: FORMAT_VERSION, ...document, pools: { ...sections(document), [name]: written } };
}

function readSection(document: JsonObject, name: string): StoredHealth {
  const { servers = {}, counters = {} } = section(document, name);
  return {
    servers: Object.fromEntries(
      Object.entries(object(servers, "`servers`")).map(([id, value]) => [id, snapshot(value)]),
    ),
    counters: readCounters(object(counters, "`counters`")),
  };
}

function sections(document: JsonObject): JsonObject {
  return object(document.pools ?? {}, "`pools`");
}

function section(document: JsonObject, name: string): JsonObject {
  if (name === "") return document;
  return Object.hasOwn(sections(document), name) ? object(sections(document)[name], "a pool") : {};
}

function snapshot(value: unknown): StoredSnapshot {
  const { status, lastCheck, responseTime, uptime, uptimeSince, consecutiveFailures, consecutiveSuccesses } = object(
    value,
    "a server's health",
  );
  if (!STATES.includes(status)) throw new FormatError("`status` is no state");
  return {
    status: status as HealthSnapshot["status"],
    ...(lastCheck !== undefined && { lastCheck: time(lastCheck, "`lastCheck`") }),
    ...(responseTime !== undefined && { responseTime: amount(responseTime) }),
    uptime: amount(uptime),
    ...(uptimeSince !== undefined && { uptimeSince: time(uptimeSince, "`uptimeSince`") }),
    consecutiveFailures: amount(consecutiveFailures),
    consecutiveSuccesses: amount(consecutiveSuccesses),
  };
}

function readCounters(counters: JsonObject): RequestCounters {
  const { total, successful, failed, failoverCount, responseTimeSum } = { ...NO_REQUESTS, ...counters };
  return {
    total: amount(total),
    successful: amount(successful),
    failed: amount(failed),
    failoverCount: amount(failoverCount),
    responseTimeSum: amount(responseTimeSum),
  };
}

function time(value: unknown, what: string): string {
  if (typeof value !== "string" || Number.isNaN(Date.parse(value))) throw new FormatError(`${what} is no time`);
  return value;
}

function amount(value: unknown): number {
  if (typeof value === "number" && value >= 0) return value;
  throw new FormatError("a number is missing or below zero");
}
