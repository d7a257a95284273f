import type { Log } from "@davpool/core";
import { specTypeSchemas, type JSONRPCMessage } from "@modelcontextprotocol/client";
import { DEEPEST, LISTS_OF_ENTRIES, isTooDeep } from "./message.ts";

const SCHEMAS = {
  tools: specTypeSchemas.Tool,
  prompts: specTypeSchemas.Prompt,
  resources: specTypeSchemas.Resource,
  resourceTemplates: specTypeSchemas.ResourceTemplate,
};
/** Complaints about one session. */
const MOST_TOLD = 100;

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
    let good: Readonly<Record<string, unknown>> = result;
    for (const kind of LISTS_OF_ENTRIES) {
      const entries = result[kind];
      if (!Array.isArray(entries)) continue;
      const kept = entries.filter((entry) => this.#isGood(kind, entry));
      if (kept.length < entries.length) good = { ...good, [kind]: kept };
    }
    return good === result ? message : { ...message, result: good };
  }

  #isGood(kind: keyof typeof SCHEMAS, entry: unknown): boolean {
    const problem = problemOf(kind, entry);
    if (problem === undefined) return true;
    const written = (entry as { readonly name?: unknown } | null)?.name;
    const name = typeof written === "string" ? written.slice(0, 100) : "?";
    const told = `${kind} ${name}`;
    if (!this.#told.has(told) && this.#told.size < MOST_TOLD)
      this.#log.warn(`An entry of a server's list is not as the protocol has it, and is left out: ${problem}`, {
        ...this.#about,
        list: kind,
        name,
      });
    this.#told.add(told);
    return false;
  }
}

/** What is wrong with an entry; undefined when it is as the protocol has it. */
function problemOf(kind: keyof typeof SCHEMAS, entry: unknown): string | undefined {
  if (isTooDeep(entry)) return `it has more than ${DEEPEST} levels of objects and lists`;
  const checked = SCHEMAS[kind]["~standard"].validate(entry);
  // None of these schemas waits for anything.
  if (checked instanceof Promise) return undefined;
  const [issue] = checked.issues ?? [];
  if (!issue) return undefined;
  const field = issue.path?.map((part) => String(typeof part === "object" ? part.key : part)).join(".");
  return field === undefined || field === "" ? issue.message : `${field}: ${issue.message}`;
}
