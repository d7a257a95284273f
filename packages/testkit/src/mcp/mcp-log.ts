import type { RpcMessage } from "./mcp-replies.ts";

/** A message that a fake server has read. */
export interface McpLogEntry {
  readonly method: string;
  /** The tool of a call. */
  readonly tool?: string;
  readonly arguments?: unknown;
  readonly params?: Readonly<Record<string, unknown>>;
  /** The process that read it. */
  readonly pid: number;
  /** Headers, over HTTP. */
  readonly headers?: Readonly<Record<string, string | string[] | undefined>>;
}

export function entryOf(message: RpcMessage, pid: number): McpLogEntry {
  const { method = "", params } = message;
  const call = method === "tools/call" ? { tool: String(params?.["name"]), arguments: params?.["arguments"] } : {};
  return { method, pid, ...call, ...(params && { params }) };
}

/** What a server has read so far, and a way to wait for more. */
export class McpLog {
  readonly entries: McpLogEntry[] = [];
  readonly #waiting = new Set<() => void>();

  add(entry: McpLogEntry): void {
    this.entries.push(entry);
    this.changed();
  }

  /** Something happened that somebody may wait for. */
  changed(): void {
    for (const look of this.#waiting) look();
  }

  /** Messages with this method, or calls of this tool. */
  of(name: string): readonly McpLogEntry[] {
    return this.entries.filter(({ method, tool }) => method === name || tool === name);
  }

  /** Resolves once it holds so many of them. */
  received(name: string, count = 1): Promise<void> {
    return this.until(() => this.of(name).length >= count);
  }

  until(holds: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        if (!holds()) return;
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
  }
}
