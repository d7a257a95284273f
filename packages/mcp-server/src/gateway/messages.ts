import {
  CLIENT_CAPABILITIES_META_KEY,
  LOG_LEVEL_META_KEY,
  type ClientCapabilities,
  type Server,
  type ServerContext,
  type StandardSchemaV1,
} from "@modelcontextprotocol/server";

export type Fields = Readonly<Record<string, unknown>>;

/** Milliseconds that a client, which may ask a human, has for an answer. */
export const ANSWER_TIME = 600_000;

/** What a result is, is between the client and the server. */
export const ANYTHING: StandardSchemaV1<unknown, Fields> = {
  "~standard": { version: 1, vendor: "davpool", validate: (value) => ({ value: value as Fields }) },
};

/** Where results, errors and notifications come from, in their `_meta`: `{ pool, server }`. */
export const SOURCE = "davpool/source";

export interface Source {
  readonly pool: string;
  readonly serverId: string;
}

/** With a note of where it comes from. */
export function withSource(params: Fields | undefined, { pool, serverId }: Source): Record<string, unknown> {
  const source = { pool, server: serverId };
  const meta = params?.["_meta"] as Fields | undefined;
  return { ...params, _meta: meta ? { ...meta, [SOURCE]: source } : { [SOURCE]: source } };
}

/** What servers may ask for, and the capability with which a client says that it answers. */
const QUESTIONS: Readonly<Record<string, string>> = {
  "sampling/createMessage": "sampling",
  "elicitation/create": "elicitation",
  "roots/list": "roots",
};

/**
 * What a client says that it can do, as far as servers can make use of it through a gateway.
 * @param context of one of its requests: those of 2026-07-28 say it each time.
 */
export function capabilitiesOf(server: Server | undefined, context?: ServerContext): Fields {
  const said = (context?.mcpReq.envelope as Fields | undefined)?.[CLIENT_CAPABILITIES_META_KEY];
  const capabilities = (said as ClientCapabilities | undefined) ?? server?.getClientCapabilities();
  if (!capabilities) return NONE;
  let useful = known.get(capabilities);
  if (!useful) {
    const { sampling, elicitation, roots } = capabilities;
    useful = { ...(sampling && { sampling }), ...(elicitation && { elicitation }), ...(roots && { roots }) };
    known.set(capabilities, useful);
  }
  return useful;
}

const NONE: Fields = {};
/** A client says the same for as long as it stays. */
const known = new WeakMap<ClientCapabilities, Fields>();

/** Whether a client with these capabilities answers it. */
export function mayAsk(capabilities: Fields, method: string): boolean {
  const capability = QUESTIONS[method];
  return capability !== undefined && capabilities[capability] !== undefined;
}

const LEVELS = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

/** The least severe log messages that a request of 2026-07-28 wants; undefined for none. */
export function levelOf({ mcpReq }: ServerContext): string | undefined {
  return (mcpReq.envelope as Fields | undefined)?.[LOG_LEVEL_META_KEY] as string | undefined;
}

/** Whether this log message is for the client: it must have asked for it, in the newer era with the request itself. */
export function wouldHear(
  call: { readonly context: ServerContext; readonly modern: boolean } | undefined,
  client: { readonly level: string | undefined } | undefined,
  params: Fields | undefined,
): boolean {
  const level = call?.modern === true ? levelOf(call.context) : client?.level;
  if (level === undefined) return call?.modern !== true;
  return LEVELS.indexOf(String(params?.["level"])) >= LEVELS.indexOf(level);
}

/** What goes along with a request to a server, beside its own parameters; undefined for nothing. */
export function metaFor({ mcpReq }: ServerContext, level: string | undefined): Fields | undefined {
  if (!mcpReq._meta && level === undefined) return undefined;
  // Tokens of progress are the connection's own, and so is what the protocol itself writes there.
  const meta = Object.fromEntries(
    Object.entries(mcpReq._meta ?? {}).filter(([key]) => key !== "progressToken" && !key.startsWith(OWN)),
  );
  return level === undefined ? meta : { ...meta, [LOG_LEVEL_META_KEY]: level };
}

const OWN = "io.modelcontextprotocol/";
