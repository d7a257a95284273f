import { describeError, type Log } from "@davpool/core";
import { Ajv } from "ajv";

type Fields = Readonly<Record<string, unknown>>;

/** Characters of a schema of answers that clients are given to compile. */
const LONGEST = 100_000;

/** As clients of the SDK's 1.x compile schemas of answers: one that they cannot compile costs them the whole list. */
const ajv = new Ajv({ strict: false, validateSchema: false, allErrors: true, logger: false });

/**
 * Tools as the protocols of 2025 have them, for clients that refuse a whole list because of one tool: the properties of
 * a schema are objects, and a schema of answers describes an object and can be compiled. A schema of answers that is not
 * so is left out, with a warning; the tool stays.
 */
export class OlderTools {
  readonly #log: Log;
  readonly #fitted = new WeakMap<object, object>();
  /** What was complained of, once. */
  readonly #told = new Set<string>();

  constructor(log: Log) {
    this.#log = log;
  }

  fit(definition: object): object {
    let fitted = this.#fitted.get(definition);
    if (!fitted) this.#fitted.set(definition, (fitted = this.#fit(definition as Fields)));
    return fitted;
  }

  #fit(definition: Fields): object {
    const { inputSchema, outputSchema, ...rest } = definition;
    const input = withObjects(inputSchema);
    if (outputSchema === undefined) return input === inputSchema ? definition : { ...definition, inputSchema: input };
    const output = withObjects(outputSchema);
    const problem = problemOf(output);
    if (problem === undefined)
      return input === inputSchema && output === outputSchema
        ? definition
        : { ...definition, inputSchema: input, outputSchema: output };
    this.#warn(String(definition["name"]), problem);
    return { ...rest, inputSchema: input };
  }

  #warn(name: string, problem: string): void {
    const told = `${name} ${problem}`;
    if (this.#told.has(told)) return;
    this.#told.add(told);
    this.#log.warn(
      `The schema of what the tool ${name} answers is left out for clients of 2025 protocols, which cannot read it: ${problem}.`,
      { tool: name },
    );
  }
}

/** A schema whose properties are objects: `true` and `false` are written out. */
function withObjects(schema: unknown): unknown {
  const { properties } = (schema ?? {}) as Fields;
  if (typeof properties !== "object" || properties === null) return schema;
  const entries = Object.entries(properties);
  if (entries.every(([, one]) => typeof one === "object" && one !== null)) return schema;
  const objects = entries.map(([name, one]: [string, unknown]) => {
    if (typeof one === "object" && one !== null) return [name, one] as const;
    return [name, one === false ? { not: {} } : {}] as const;
  });
  return { ...(schema as Fields), properties: Object.fromEntries(objects) };
}

/** Why clients cannot use a schema of answers. */
function problemOf(schema: unknown): string | undefined {
  const { type, properties, required } = (schema ?? {}) as Fields;
  if (type !== "object") return "it does not describe an object";
  if (properties !== undefined && (typeof properties !== "object" || properties === null))
    return "its properties are none";
  if (required !== undefined && !(Array.isArray(required) && required.every((name) => typeof name === "string")))
    return "required is no list of names";
  if (JSON.stringify(schema).length > LONGEST) return `it has more than ${LONGEST} characters`;
  try {
    ajv.compile(schema as object);
    return undefined;
  } catch (error) {
    return describeError(error);
  } finally {
    ajv.removeSchema(schema as object);
  }
}
