import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect, createServer, type AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { McpProcess } from "./mcp-processes.ts";

const MCP_PROXY = fileURLToPath(new URL("bin/mcp-proxy.mjs", import.meta.resolve("mcp-proxy")));
/** Milliseconds between two looks at whether it listens: it does not say so. */
const LOOK = 50;

/** Runs `mcp-proxy`, which serves a command over HTTP. One session with the command serves all clients. */
export async function startMcpProxy(command: readonly string[], signal: AbortSignal): Promise<McpProcess> {
  const port = await freePort();
  const parameters = ["--host", "127.0.0.1", "--port", String(port), "--server", "stream", "--", ...command];
  // Ctrl-C is for the process that started it, which then ends it.
  const child = spawn(process.execPath, [MCP_PROXY, ...parameters], { detached: true, stdio: "ignore" });
  const gone = once(child, "exit");
  const end = async () => {
    child.kill("SIGKILL");
    await gone;
  };
  try {
    while (!(await listens(port))) {
      if (child.exitCode !== null) throw new Error("mcp-proxy ended before it was ready.");
      await delay(LOOK, undefined, { signal });
    }
  } catch (error) {
    await end();
    throw error;
  }
  return { url: `http://127.0.0.1:${port}/mcp`, pid: child.pid as number, [Symbol.asyncDispose]: end };
}

/** It takes no port 0. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

async function listens(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
