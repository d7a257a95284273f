import { readFile } from "node:fs/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** States of the kernel's table that are over: nothing but the port is left of them. */
const OVER = new Set(["06", "07"]);

/** Sockets of this machine's clients to a port of 127.0.0.1, half-closed ones included. Linux only. */
export async function openSockets(port: number): Promise<number> {
  const remote = `0100007F:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const lines = (await readFile("/proc/net/tcp", "utf8")).split("\n").slice(1);
  return lines.filter((line) => {
    const [, , address, state = ""] = line.trim().split(/\s+/);
    return address === remote && !OVER.has(state);
  }).length;
}

/** Bytes of the heap that are in use when everything that can be collected has been. */
export async function heapInUse(): Promise<number> {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  // What is freed in one round may have kept other things, by finalizers for example.
  for (let round = 0; round < 3; round++) {
    collect();
    await new Promise((resolve) => setImmediate(resolve));
  }
  return process.memoryUsage().heapUsed;
}
