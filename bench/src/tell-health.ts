import type { DavPool } from "./dav-pool.ts";

/** Reports every change of a server's health, with the milliseconds since now. */
export function tellHealth(pool: DavPool, progress: (text: string) => void): Disposable {
  const start = performance.now();
  const stack = new DisposableStack();
  for (const event of ["server-healthy", "server-degraded", "server-unhealthy"] as const)
    stack.use(
      pool.on(event, ({ serverId, reason }) => {
        const state = event.replace("server-", "");
        const time = (performance.now() - start).toFixed(0).padStart(7);
        progress(`${time} ms: ${serverId} is ${state}${reason === undefined ? "" : `: ${reason}`}`);
      }),
    );
  return stack;
}
