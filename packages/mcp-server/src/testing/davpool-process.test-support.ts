import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { Client as OlderClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport as OlderTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { inject } from "vitest";

/** `older` speaks 2025-era protocols, `newer` negotiates the current one. */
export type ClientLine = "older" | "newer";

export interface ToolReply {
  readonly isError: boolean;
  /** Structured content, or the JSON of the text for errors. */
  // oxlint-disable-next-line typescript/no-explicit-any -- tests look into answers of every shape
  readonly value: any;
  readonly text: string;
}

export interface DavpoolProcess extends AsyncDisposable {
  readonly folder: string;
  readonly pid: number;
  readonly stderr: () => string;
  /** Resolves when a log line that holds `text` is written, from now on. */
  logged(text: string): Promise<void>;
  tools(): Promise<readonly { readonly name: string; readonly [field: string]: unknown }[]>;
  call(name: string, parameters?: Record<string, unknown>, signal?: AbortSignal): Promise<ToolReply>;
}

/** The command, which was made before all tests. */
export const BIN = inject("davpool");

/** A folder of its own for one test. */
export async function temporaryFolder(): Promise<{ readonly path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), "davpool-test-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** Runs `davpool serve` as an operator would, and connects to it with a real client. */
export async function startDavpool(options: {
  readonly config?: object;
  readonly folder?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly client?: ClientLine;
}): Promise<DavpoolProcess> {
  const own = options.folder === undefined ? await temporaryFolder() : undefined;
  const folder = options.folder ?? own?.path ?? "";
  if (options.config) await writeFile(join(folder, "davpool.config.json"), JSON.stringify(options.config));
  const parameters = {
    command: process.execPath,
    args: [BIN, "serve"],
    cwd: folder,
    env: { PATH: process.env.PATH ?? "", ...options.environment },
    stderr: "pipe" as const,
  };
  const older = options.client === "older";
  const transport = older ? new OlderTransport(parameters) : new StdioClientTransport(parameters);
  let stderr = "";
  const expected = new Set<(seen: number) => void>();
  transport.stderr?.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
    for (const look of expected) look(stderr.length);
  });
  const client = older
    ? new OlderClient({ name: "test", version: "1.0.0" })
    : new Client({ name: "test", version: "1.0.0" }, { versionNegotiation: { mode: "auto" } });
  try {
    await (client as Client).connect(transport);
  } catch (error) {
    throw new Error(`davpool did not start:\n${stderr}`, { cause: error });
  }
  return {
    folder,
    pid: transport.pid as number,
    stderr: () => stderr,
    logged(text) {
      const from = stderr.length;
      return new Promise((resolve) => {
        const look = () => {
          if (!stderr.includes(text, from)) return;
          expected.delete(look);
          resolve();
        };
        expected.add(look);
      });
    },
    tools: async () => (await client.listTools()).tools,
    async call(name, written = {}, signal) {
      const call = { name, arguments: written };
      const reply = older
        ? await (client as OlderClient).callTool(call, undefined, signal && { signal })
        : await (client as Client).callTool(call, signal && { signal });
      const [content] = reply.content as { text: string }[];
      const text = content?.text ?? "";
      return {
        isError: reply.isError === true,
        text,
        value: reply.structuredContent ?? (JSON.parse(text) as unknown),
      };
    },
    async [Symbol.asyncDispose]() {
      await client.close();
      await own?.[Symbol.asyncDispose]();
    },
  };
}
