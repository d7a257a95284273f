import { isDavpoolError } from "@davpool/core";
import { createMcpServer, type McpHttpServer, type McpServerOptions } from "@davpool/testkit";
import type { McpServerPoolEvents } from "../events.ts";
import type { McpServerPoolOptions } from "../options.ts";
import { McpServerPool } from "../server-pool.ts";

export interface Bench extends AsyncDisposable {
  readonly pool: McpServerPool;
  readonly servers: readonly McpHttpServer[];
  /** The first and the second. */
  readonly one: McpHttpServer;
  readonly two: McpHttpServer;
}

/** A pool of two servers over HTTP, `s1` and `s2`, that are not checked. */
export async function openBench(
  options: McpServerPoolOptions = {},
  servers: readonly McpServerOptions[] = [{}, {}],
): Promise<Bench> {
  const running = await Promise.all(
    servers.map((settings, index) => createMcpServer({ transport: "http", name: `s${index + 1}`, ...settings })),
  );
  const pool = await McpServerPool.open({
    healthCheckInterval: 0,
    servers: running.map(({ name, url }) => ({ serverId: name, url })),
    ...options,
  });
  return {
    pool,
    servers: running,
    one: running[0] as McpHttpServer,
    two: running[1] as McpHttpServer,
    async [Symbol.asyncDispose]() {
      await pool.close({ drain: 0 });
      await Promise.all(running.map((server) => server[Symbol.asyncDispose]()));
    },
  };
}

/** What it rejects with; an error that says "no error" where it does not. */
export async function failureOf(work: Promise<unknown>): Promise<Error & { code?: string }> {
  return work.then(
    () => new Error("no error"),
    (error: Error) => error,
  );
}

/** The code of what it rejects with. */
export async function codeOf(work: Promise<unknown>): Promise<string> {
  const failure = await failureOf(work);
  return isDavpoolError(failure) ? failure.code : String(failure);
}

/** Resolves with the detail of the next such event. */
export function next<K extends keyof McpServerPoolEvents>(
  pool: McpServerPool,
  event: K,
): Promise<McpServerPoolEvents[K]> {
  return new Promise((resolve) => pool.on(event, (...detail) => resolve(detail)));
}
