import { createMcpServer, type McpServerOptions, type McpStdioServer } from "@davpool/testkit";
import type { McpServerInput } from "../options.ts";

/** Fake MCP servers as processes, which are gone when this is disposed of. */
export interface Replicas extends AsyncDisposable {
  readonly servers: readonly McpStdioServer[];
  /** As a pool is given them: `s1`, `s2` … */
  readonly inputs: readonly McpServerInput[];
  /** Kills the next one in turn, once the one before has been started again. */
  killNext(): Promise<void>;
  /** How many were killed. */
  readonly kills: number;
  /** What all of them have read of a tool's calls, by the text of its arguments. */
  readBy(tool: string): ReadonlyMap<string, number>;
}

export async function createReplicas(count: number, options: McpServerOptions = {}): Promise<Replicas> {
  const servers = await Promise.all(
    Array.from({ length: count }, (_none, index) =>
      createMcpServer({ transport: "stdio", name: `s${index + 1}`, ...options }),
    ),
  );
  let kills = 0;
  let restarted = Promise.resolve();
  return {
    servers,
    inputs: servers.map(({ name, command }) => ({ serverId: name, command })),
    async killNext() {
      await restarted;
      const server = servers[kills++ % count] as McpStdioServer;
      const before = server.pids.length;
      await server.kill();
      restarted = server.started(before + 1);
    },
    get kills() {
      return kills;
    },
    readBy(tool) {
      const counts = new Map<string, number>();
      for (const server of servers) {
        for (const entry of server.log.of(tool)) {
          const key = JSON.stringify(entry.arguments);
          counts.set(key, (counts.get(key) ?? 0) + 1);
        }
      }
      return counts;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()));
    },
  };
}

/** The text of a tool's result. */
export function textOf({ content }: { readonly content: readonly object[] }): string {
  const [first = {}] = content;
  return "text" in first ? String(first.text) : JSON.stringify(content);
}
