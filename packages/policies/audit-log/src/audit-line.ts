import { describeError, isDavpoolError, type PolicyCall, type PolicyResult, type ServersChange } from "@davpool/core";

/** How much of a tool's arguments is told. */
export type ArgumentDetail = "none" | "names" | "values";

/** Characters of one text: a path may have 4,096. */
const LONGEST_TEXT = 4_096;
/** Characters of a line that tells arguments. Callers decide how long those are. */
const LONGEST_LINE = 16_384;
/** What JSON leaves as it is, and some readers take for the end of a line or for a command to their terminal. */
// oxlint-disable-next-line no-control-regex -- these are what it is about
const UNSAFE = /[\u007f-\u009f\u2028\u2029]/g;

/**
 * One call as a line of JSON, its end included.
 * @param at when the call ended.
 * @param detail where the line would become too long, less is told than this.
 */
export function auditLine(call: PolicyCall, result: PolicyResult, at: Date, detail: ArgumentDetail): string {
  const facts = (told: unknown) =>
    line({
      time: at.toISOString(),
      pool: call.pool,
      ...askedFor(call, told),
      principal: short(call.caller.principal),
      session: short(call.caller.session),
      server: result.serverId,
      ...outcomeOf(result),
      latency: Math.round(result.latency),
    });
  const given = field(field(call.request, "params"), "arguments");
  if (detail === "none" || typeof given !== "object" || given === null) return facts(undefined);
  const names = () => Object.keys(given).map((name) => short(name));
  for (const told of detail === "values" ? [() => given, names] : [names]) {
    const written = tried(() => facts(told()));
    if (written !== undefined && written.length <= LONGEST_LINE) return written;
  }
  return facts(undefined);
}

/**
 * A change of a pool's servers as a line of JSON, its end included. Where values make it too long, they are left out.
 * @param failure what the change failed with; undefined where it was made.
 */
export function changeLine(change: ServersChange, failure: unknown, at: Date): string {
  const { pool, action, serverId, caller, from, to } = change;
  const facts = (values: object) =>
    line({
      time: at.toISOString(),
      pool,
      operation: `servers/${action}`,
      server: short(serverId),
      principal: short(caller.principal),
      session: short(caller.session),
      ...values,
      ...changeOutcome(failure),
    });
  const whole = facts({ from, to });
  return whole.length <= LONGEST_LINE ? whole : facts({ fields: Object.keys(to).slice(0, 50) });
}

function changeOutcome(failure: unknown): Record<string, unknown> {
  if (failure === undefined) return { outcome: "ok" };
  const code = isDavpoolError(failure) ? failure.code : "INTERNAL";
  return { outcome: code === "POLICY_DENIED" ? "denied" : "failed", code, reason: short(describeError(failure)) };
}

/** A line that stands for those that could not be written. */
export function lostLine(pool: string, lost: number, at: Date): string {
  return line({ time: at.toISOString(), pool, lost });
}

/** Of a request nothing is known here but that it may have these fields. Bodies and headers are left alone. */
function askedFor({ request, traits: { operation } }: PolicyCall, told: unknown): Record<string, unknown> {
  const params = field(request, "params");
  return {
    operation,
    path: short(field(request, "path")),
    // The one header that is a path: without it nobody knows where something went.
    destination: short(destination(field(request, "headers"))),
    tool: operation === "tools/call" ? short(field(params, "name")) : undefined,
    arguments: told,
    prompt: operation === "prompts/get" ? short(field(params, "name")) : undefined,
    uri: short(field(params, "uri")),
  };
}

function outcomeOf({ failure, refusal }: PolicyResult): Record<string, unknown> {
  if (!failure) return refusal === undefined ? { outcome: "ok" } : { outcome: "refused", code: refusal };
  const { kind, code, message } = failure;
  return { outcome: code === "POLICY_DENIED" ? "denied" : kind, code, reason: short(message) };
}

function destination(headers: unknown): unknown {
  if (typeof headers !== "object" || headers === null) return undefined;
  return Object.entries(headers).find(([name]) => name.toLowerCase() === "destination")?.[1];
}

function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>)[name] : undefined;
}

/** A text that is no longer than texts may be; undefined for what is none. */
function short(value: unknown): string | undefined {
  if (typeof value !== "string") return undefined;
  return value.length > LONGEST_TEXT ? `${value.slice(0, LONGEST_TEXT)}…` : value;
}

/** What programs pass as arguments may be no JSON at all. */
function tried(write: () => string): string | undefined {
  try {
    return write();
  } catch {
    return undefined;
  }
}

function line(facts: Readonly<Record<string, unknown>>): string {
  const text = JSON.stringify(facts, (_name, value: unknown) => (typeof value === "string" ? short(value) : value));
  return `${text.replace(UNSAFE, escaped)}\n`;
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
