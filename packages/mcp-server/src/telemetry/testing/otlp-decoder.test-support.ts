/** How a message of protocol buffers is read: by field number, its name and what it holds. */
interface Shape {
  readonly [field: number]: readonly [
    name: string,
    type: "text" | "hex" | "number" | "double" | (() => Shape),
    many?: "many",
  ];
}

// oxlint-disable-next-line typescript/no-explicit-any -- tests look into messages of every shape
export type Message = Record<string, any>;

const value: Shape = {
  1: ["text", "text"],
  2: ["bool", "number"],
  3: ["int", "number"],
  4: ["double", "double"],
  5: ["array", () => ({ 1: ["values", () => value, "many"] })],
  6: ["map", () => ({ 1: ["values", () => keyValue, "many"] })],
};
const keyValue: Shape = { 1: ["key", "text"], 2: ["value", () => value] };
const attributes = ["attributes", () => keyValue, "many"] as const;
const resource = ["resource", () => ({ 1: attributes })] as const;
const scope = ["scope", (): Shape => ({ 1: ["name", "text"], 2: ["version", "text"] })] as const;

const span: Shape = {
  1: ["traceId", "hex"],
  2: ["spanId", "hex"],
  4: ["parentSpanId", "hex"],
  5: ["name", "text"],
  6: ["kind", "number"],
  9: attributes,
  13: ["links", () => ({ 1: ["traceId", "hex"], 2: ["spanId", "hex"] }), "many"],
  15: ["status", () => ({ 2: ["message", "text"], 3: ["code", "number"] })],
};
const logRecord: Shape = {
  2: ["severityNumber", "number"],
  3: ["severityText", "text"],
  5: ["body", () => value],
  6: attributes,
  9: ["traceId", "hex"],
  10: ["spanId", "hex"],
};
const metric: Shape = { 1: ["name", "text"], 3: ["unit", "text"] };

/** What all three requests have in common: items by scope by resource. */
function request(item: Shape): Shape {
  const scopes: Shape = { 1: scope, 2: ["items", () => item, "many"] };
  const resources: Shape = { 1: resource, 2: ["scopes", () => scopes, "many"] };
  return { 1: ["resources", () => resources, "many"] };
}

const REQUESTS: Readonly<Record<string, Shape>> = {
  "/v1/traces": request(span),
  "/v1/logs": request(logRecord),
  "/v1/metrics": request(metric),
};

/** The spans, log records or metrics of one OTLP request; each knows its resource's attributes as `resource`. */
export function decodeOtlp(path: string, body: Buffer): Message[] {
  const shape = REQUESTS[path];
  if (!shape) throw new Error(`No OTLP request goes to ${path}`);
  return ((decode(body, shape).resources ?? []) as Message[]).flatMap((from) =>
    ((from.scopes ?? []) as Message[]).flatMap((scope) =>
      ((scope.items ?? []) as Message[]).map((item) => ({
        ...item,
        attributes: plain(item.attributes),
        resource: plain(from.resource?.attributes),
        ...(item.body !== undefined && { body: plainValue(item.body as Message) }),
      })),
    ),
  );
}

function plain(list: Message[] | undefined): Message {
  return Object.fromEntries((list ?? []).map(({ key, value }) => [key as string, plainValue(value as Message)]));
}

function plainValue(held: Message): unknown {
  if (held.array !== undefined) return ((held.array.values ?? []) as Message[]).map(plainValue);
  if (held.map !== undefined) return plain(held.map.values as Message[]);
  return held.text ?? held.int ?? held.double ?? (held.bool === undefined ? undefined : held.bool === 1);
}

function decode(bytes: Buffer, shape: Shape): Message {
  const message: Message = {};
  let at = 0;
  const varint = () => {
    let read = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++] ?? 0;
      read |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return Number(BigInt.asIntN(64, read));
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const [name, type, many] = shape[tag >> 3] ?? [];
    let found: unknown;
    if ((tag & 7) === 0) found = varint();
    else if ((tag & 7) === 2) {
      const length = varint();
      const held = bytes.subarray(at, (at += length));
      found = typeof type === "function" ? decode(held, type()) : held.toString(type === "hex" ? "hex" : "utf8");
    } else {
      const size = (tag & 7) === 1 ? 8 : 4;
      found = type === "double" ? bytes.readDoubleLE(at) : undefined;
      at += size;
    }
    if (name === undefined) continue;
    if (many) (message[name] ??= []).push(found);
    else message[name] = found;
  }
  return message;
}
