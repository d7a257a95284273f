import type { Log } from "@davpool/core";
import { specTypeSchemas, type JSONRPCMessage } from "@modelcontextprotocol/client";

const SCHEMAS = {
  tools: specTypeSchemas.Tool,
  prompts: specTypeSchemas.Prompt,
  resources: specTypeSchemas.Resource,
  resourceTemplates: specTypeSchemas.ResourceTemplate,
};
const KINDS = Object.keys(SCHEMAS) as readonly (keyof typeof SCHEMAS)[];

/**
 * Leaves out of a server's lists what the protocol does not allow, with a line in the log: one tool with a broken schema
 * would otherwise cost all the others, as the protocol's machinery takes a list as a whole.
 */
export class ListEntries {
  readonly #log: Log;
  readonly #about: { readonly pool: string; readonly serverId: string };
  /** What was complained of, once. */
  readonly #told = new Set<string>();

  constructor(log: Log, about: { readonly pool: string; readonly serverId: string }) {
    this.#log = log;
    this.#about = about;
  }

  /** The message without entries that are none. Anything but a list is returned as it is. */
  checked(message: JSONRPCMessage): JSONRPCMessage {
    if (!("result" in message)) return message;
    const result = message.result as Readonly<Record<string, unknown>>;
    for (const kind of KINDS) {
      const entries = result[kind];
      if (!Array.isArray(entries) || "content" in result) continue;
      const good = entries.filter((entry) => this.#isGood(kind, entry));
      return good.length === entries.length ? message : { ...message, result: { ...result, [kind]: good } };
    }
    return message;
  }

  #isGood(kind: keyof typeof SCHEMAS, entry: unknown): boolean {
    const { issues } = SCHEMAS[kind]["~standard"].validate(entry);
    const [issue] = issues ?? [];
    if (!issue) return true;
    const name = String((entry as { readonly name?: unknown } | null)?.name).slice(0, 100);
    if (!this.#told.has(`${kind} ${name}`))
      this.#log.warn(`An entry of a server's list is not as the protocol has it, and is left out: ${issue.message}`, {
        ...this.#about,
        list: kind,
        name,
        field: issue.path?.map((part) => String(typeof part === "object" ? part.key : part)).join("."),
      });
    this.#told.add(`${kind} ${name}`);
    return false;
  }
}
