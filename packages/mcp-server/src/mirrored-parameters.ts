/** JSON-RPC code for headers that say something else than the body. */
export const HEADER_MISMATCH = -32_020;

/** Schemas of tools say with it which arguments clients repeat in headers, where proxies can read them. */
const KEYWORD = "x-mcp-header";
/** What a header's name may be (RFC 9110 §5.6.2). */
const TOKEN = /^[!#$%&'*+.^_`|~\w-]+$/;
/** As JSON writes numbers (RFC 8259 §6). */
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
const ENCODED = /^=\?base64\?(.*)\?=$/s;
const BASE64 = /^(?:[A-Za-z\d+/]{4})*(?:[A-Za-z\d+/]{2}==|[A-Za-z\d+/]{3}=)?$/;

/** An argument of a tool that clients of 2026-07-28 repeat in a header. */
export interface MirroredParameter {
  readonly header: string;
  readonly path: readonly string[];
}

export function mirroredParameters(schema: unknown, path: readonly string[] = []): readonly MirroredParameter[] {
  if (typeof schema !== "object" || schema === null) return [];
  const { [KEYWORD]: name, properties } = schema as Readonly<Record<string, unknown>>;
  const own =
    typeof name === "string" && TOKEN.test(name) && path.length > 0 ? [{ header: `Mcp-Param-${name}`, path }] : [];
  const nested = typeof properties === "object" && properties !== null ? Object.entries(properties) : [];
  return [...own, ...nested.flatMap(([key, inner]) => mirroredParameters(inner, [...path, key]))];
}

/** In what the headers differ from the arguments; undefined when they agree. */
export function mirrorProblem(
  parameters: readonly MirroredParameter[],
  written: unknown,
  headers: Headers,
): string | undefined {
  for (const { header, path } of parameters) {
    const value = valueAt(written, path);
    // What the body does not say is not expected in a header either.
    if (value === undefined) continue;
    const shown = headers.get(header);
    const argument = `the argument ${path.join(".")}`;
    if (shown === null) return `The header ${header} is missing; it must repeat ${argument}.`;
    const decoded = decode(shown);
    if (decoded === undefined) return `The header ${header} is not encoded as it should be.`;
    const same =
      decoded === String(value) || (typeof value === "number" && NUMBER.test(decoded) && Number(decoded) === value);
    if (!same) return `The header ${header} differs from ${argument}, which it must repeat.`;
  }
  return undefined;
}

/** What the headers are to say, by header. */
export function mirroredHeaders(
  parameters: readonly MirroredParameter[],
  written: unknown,
): Readonly<Record<string, string>> {
  return Object.fromEntries(
    parameters.flatMap(({ header, path }) => {
      const value = valueAt(written, path);
      return value === undefined ? [] : [[header, String(value)]];
    }),
  );
}

/** Only plain values are repeated. */
function valueAt(written: unknown, path: readonly string[]): string | number | boolean | undefined {
  const value = path.reduce<unknown>(
    (node, key) => (node as Record<string, unknown> | null | undefined)?.[key],
    written,
  );
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean" ? value : undefined;
}

function decode(shown: string): string | undefined {
  const [, encoded] = ENCODED.exec(shown) ?? [];
  if (encoded === undefined) return shown;
  if (!BASE64.test(encoded)) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.from(encoded, "base64"));
  } catch {
    return undefined;
  }
}
