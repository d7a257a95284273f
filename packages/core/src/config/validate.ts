import { Ajv, type ErrorObject, type ValidateFunction } from "ajv";
import addFormats from "ajv-formats";
import type { TSchema } from "typebox";
import type { ConfigIssue } from "../errors/config-errors.ts";
import { suggestion } from "./suggestion.ts";

/** Checks a value against a schema, fills in defaults in place, and says everything that is wrong with it. */
export type Validator = (value: unknown, path?: string) => ConfigIssue[];

const ajv = new Ajv({ allErrors: true, strict: true, strictTypes: false, useDefaults: true, verbose: true });
// What a schema wants, in words, where its own keywords would read badly.
ajv.addVocabulary(["expects", "expectsKeys"]);
// Marks what may be a secret, or hold one, also where it is wrong: messages tell its shape alone.
ajv.addVocabulary(["conceal"]);
addFormats.default(ajv);

const compiled = new WeakMap<TSchema, ValidateFunction>();

export function validator(schema: TSchema): Validator {
  return (value, path = "") => {
    let validate = compiled.get(schema);
    if (!validate) {
      compiled.set(schema, (validate = ajv.compile(schema)));
      // It keeps every schema for ever; a configuration that is read anew brings new ones.
      ajv.removeSchema(schema);
    }
    return validate(value) ? [] : issues(validate.errors ?? [], path);
  };
}

function issues(errors: readonly ErrorObject[], base: string): ConfigIssue[] {
  // An object where only one branch of a union takes objects: that branch says what is wrong with it.
  const meant = new Set(errors.filter(meansOneBranch).map((error) => error.instancePath));
  const telling = errors.filter((error) => !(meant.has(error.instancePath) && OF_UNIONS.has(error.keyword)));
  // A place whose schema says in words what it expects gets one message instead of one per branch.
  const worded = telling.filter((error) => expectation(error) !== undefined).map((error) => error.instancePath);
  const found = new Map<string, ConfigIssue>();
  for (const error of telling) {
    const covered = worded.some((path) => error.instancePath === path || error.instancePath.startsWith(`${path}/`));
    if (covered && expectation(error) === undefined) continue;
    const issue = toIssue(error, base);
    if (issue) found.set(`${issue.path}\n${issue.message}`, issue);
  }
  return [...found.values()];
}

/** What a union and its other branches say about a value that was meant for one of them. */
const OF_UNIONS = new Set(["anyOf", "type", "const", "enum"]);

function meansOneBranch({ keyword, data, parentSchema }: ErrorObject): boolean {
  if (keyword !== "anyOf" || typeof data !== "object" || data === null || Array.isArray(data)) return false;
  const { anyOf } = parentSchema as { anyOf: readonly { readonly type?: string }[] };
  return anyOf.filter((branch) => branch.type === "object").length === 1;
}

function expectation(error: ErrorObject): string | undefined {
  const { expects } = error.parentSchema as { expects?: string };
  // These name the key that is wrong, which says more.
  return error.keyword === "additionalProperties" || error.keyword === "required" ? undefined : expects;
}

function toIssue(error: ErrorObject, base: string): ConfigIssue | undefined {
  const path = join(base, error.instancePath);
  const schema = error.parentSchema as {
    expects?: string;
    expectsKeys?: string;
    conceal?: boolean;
    properties?: object;
    enum?: unknown[];
  };
  const got = `got ${schema.conceal === true ? shape(error.data) : show(error.data)}`;
  if (expectation(error) !== undefined) return { path, message: `must be ${schema.expects}; ${got}.` };
  switch (error.keyword) {
    case "additionalProperties": {
      const { additionalProperty: key } = error.params as { additionalProperty: string };
      if (schema.expectsKeys !== undefined)
        return { path: member(path, key), message: `must be named by ${schema.expectsKeys}.` };
      const known = Object.keys(schema.properties ?? {});
      const hint = suggestion(key, known);
      return {
        path: member(path, key),
        message: `unknown key${known.length > 0 ? `; known here: ${known.join(", ")}.` : "; nothing can be set here."}`,
        ...(hint !== undefined && { suggestion: hint }),
      };
    }
    case "required": {
      const { missingProperty: key } = error.params as { missingProperty: string };
      return { path: member(path, key), message: "is missing; it is required." };
    }
    case "enum":
    case "const": {
      const allowed = schema.enum ?? [(error.params as { allowedValue: unknown }).allowedValue];
      const hint = typeof error.data === "string" ? suggestion(error.data, allowed.map(String)) : undefined;
      return {
        path,
        message: `must be one of ${allowed.map(show).join(", ")}; ${got}.`,
        ...(hint !== undefined && { suggestion: hint }),
      };
    }
    case "type": {
      const { type } = error.params as { type: string | string[] };
      return { path, message: `must be ${article([type].flat().join(" or "))}; ${got}.` };
    }
    case "anyOf":
    case "oneOf":
    case "if":
    case "propertyNames":
      // The branches report for themselves.
      return undefined;
    default:
      return { path, message: `${error.message ?? "is not valid"}; ${got}.` };
  }
}

function article(noun: string): string {
  return /^[aeio]/.test(noun) ? `an ${noun}` : `a ${noun}`;
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

/** What a value is, and nothing of what it says. */
function shape(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  if (typeof value !== "object") return typeof value === "string" ? "text" : article(typeof value);
  const keys = Object.keys(value);
  return keys.length === 0 ? "{}" : `an object with ${show(keys.join(", "))}`;
}

/** `/pools/files/servers/1` below `base`, as one would write it in the file. */
function join(base: string, pointer: string): string {
  return pointer
    .split("/")
    .slice(1)
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"))
    .reduce(member, base);
}

export function member(path: string, key: string): string {
  if (/^\d+$/.test(key)) return `${path}[${key}]`;
  if (!/^[A-Za-z_$][\w$]*$/.test(key)) return `${path}[${JSON.stringify(key)}]`;
  return path === "" ? key : `${path}.${key}`;
}
