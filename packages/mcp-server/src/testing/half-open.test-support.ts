import { fork } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { fileURLToPath } from "node:url";

/** Connections whose requests never become whole, held by a process of its own: they are many. */
export interface HalfOpenConnections extends AsyncDisposable {
  /** Resolves when the server has closed every one. */
  readonly dropped: Promise<void>;
}

/** Resolves when all of them are open. */
export async function openHalf(port: number, count: number): Promise<HalfOpenConnections> {
  const child = fork(fileURLToPath(import.meta.url), [String(port), String(count)], { execArgv: [] });
  const gone = once(child, "exit");
  await once(child, "message");
  return {
    dropped: once(child, "message").then(() => undefined),
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await gone;
    },
  };
}

if (process.send && process.argv[1] === fileURLToPath(import.meta.url)) {
  const [port = 0, count = 0] = process.argv.slice(2).map(Number);
  let [opened, closed] = [0, 0];
  for (let index = 0; index < count; index++) {
    const socket = connect(port, "127.0.0.1", () => {
      // A third says nothing, a third half a head, a third half a body.
      const text = [
        "",
        "POST /mcp HTTP/1.1\r\nHo",
        "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{",
      ];
      socket.write(text[index % 3] as string);
      if (++opened === count) process.send?.("open");
    });
    socket.resume().on("error", () => {});
    socket.on("close", () => {
      if (++closed === count) process.send?.("dropped", () => process.exit());
    });
  }
}
