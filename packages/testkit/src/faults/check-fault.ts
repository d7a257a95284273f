import { validateHeaderName, validateHeaderValue } from "node:http";
import { inspect } from "node:util";

/** What a field of a fault takes. */
export interface Field<Needed extends boolean = boolean> {
  readonly needed: Needed;
  /** What it takes, in words. */
  readonly allowed: string;
  /** Whether it takes numbers, only not each of them. */
  readonly numeric: boolean;
  readonly takes: (value: unknown) => boolean;
}

/** The fields of one fault. */
type Fields<F> = {
  readonly [N in Exclude<keyof F, "kind">]-?: Field<object extends Pick<F, N> ? false : true>;
};

/** The fields of faults, by kind. */
export type FaultFields<F extends { readonly kind: string }> = {
  readonly [K in F["kind"]]: Fields<Extract<F, { readonly kind: K }>>;
};

/**
 * Refuses what would do nothing, or something else than it says, or fail far from where it was written.
 * @throws TypeError or RangeError that names the field, what it holds and what it takes.
 */
export function checkFault(
  whose: string,
  faults: Readonly<Record<string, Readonly<Record<string, Field>>>>,
  fault: { readonly kind: string },
): void {
  const kind: unknown = typeof fault === "object" && fault !== null ? fault.kind : undefined;
  const fields = typeof kind === "string" && Object.hasOwn(faults, kind) ? faults[kind] : undefined;
  if (fields === undefined)
    throw new TypeError(`${whose} has no such fault: ${shown(fault)}; its kinds are ${Object.keys(faults).join(", ")}`);
  for (const [name, value] of Object.entries(fault)) {
    if (name !== "kind" && value !== undefined && !Object.hasOwn(fields, name))
      throw new TypeError(
        `the fault "${String(kind)}" of ${whose} has no ${name} (${shown(value)}); it takes ${Object.keys(fields).join(", ") || "nothing"}`,
      );
  }
  for (const [name, { needed, allowed, numeric, takes }] of Object.entries(fields)) {
    const value = (fault as Readonly<Record<string, unknown>>)[name];
    if (value === undefined ? !needed : takes(value)) continue;
    const message = `${name} of the fault "${String(kind)}" must be ${allowed}, not ${shown(value)}`;
    throw numeric && typeof value === "number" ? new RangeError(message) : new TypeError(message);
  }
}

function shown(value: unknown): string {
  return inspect(value, { breakLength: Infinity, depth: 1, maxStringLength: 100, maxArrayLength: 10 });
}

function field(allowed: string, takes: Field["takes"]): Field<true> {
  return { needed: true, allowed, numeric: false, takes };
}

function numeric(allowed: string, takes: (value: number) => boolean): Field<true> {
  return { needed: true, allowed, numeric: true, takes: (value) => typeof value === "number" && takes(value) };
}

export function optional(needed: Field): Field<false> {
  return { ...needed, needed: false };
}

export function whole(from = -Infinity, to = Infinity): Field<true> {
  const range = from === -Infinity ? "" : to === Infinity ? `, ${from} or more` : ` from ${from} to ${to}`;
  return numeric(`a whole number${range}`, (value) => Number.isSafeInteger(value) && value >= from && value <= to);
}

export function oneOf(...values: readonly string[]): Field<true> {
  return field(values.map((value) => `"${value}"`).join(" or "), (value) => values.includes(value as string));
}

export const TEXT = field("text", (value) => typeof value === "string");

export const YES_OR_NO = field("true or false", (value) => typeof value === "boolean");

export const MILLISECONDS = numeric("a number of milliseconds, 0 or more, or Infinity", (value) => value >= 0);

export const BYTES_PER_SECOND = numeric("a finite number above 0", (value) => value > 0 && Number.isFinite(value));

export const BODY = field("text or a Uint8Array", (value) => typeof value === "string" || value instanceof Uint8Array);

export const STATUS = whole(100, 999);

export const HEADERS = field("an object of header names and texts that HTTP allows", (value) => {
  if (typeof value !== "object" || value === null) return false;
  return Object.entries(value).every(([name, text]) => typeof text === "string" && isHeader(name, text));
});

function isHeader(name: string, text: string): boolean {
  try {
    validateHeaderName(name);
    validateHeaderValue(name, text);
    return true;
  } catch {
    return false;
  }
}

/** Fields of every fault that counts what it meets. */
export const TURNS = {
  times: optional(
    numeric(
      "a whole number, 1 or more, or Infinity",
      (value) => value === Infinity || (Number.isSafeInteger(value) && value >= 1),
    ),
  ),
  flapping: optional(
    field("{ fail, answer } of whole numbers, fail 1 or more and answer 0 or more", (value) => {
      if (typeof value !== "object" || value === null) return false;
      const { fail, answer } = value as { fail?: unknown; answer?: unknown };
      return whole(1).takes(fail) && whole(0).takes(answer);
    }),
  ),
};

/** Fields of every fault of single requests. */
export const FILTER = {
  ...TURNS,
  methods: optional(
    field(
      'a list of methods, such as ["GET", "PUT"]',
      (value) => Array.isArray(value) && value.length > 0 && value.every(isMethod),
    ),
  ),
  path: optional(
    field(
      'a path that begins with a slash, such as "/hello.txt" or "/folder/*"',
      (value) => typeof value === "string" && (value.startsWith("/") || value === "*"),
    ),
  ),
};

function isMethod(value: unknown): boolean {
  return typeof value === "string" && /^[A-Za-z-]+$/.test(value);
}
