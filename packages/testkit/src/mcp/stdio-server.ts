import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { McpLog, type McpLogEntry } from "./mcp-log.ts";
import type { McpEra, McpSettings, McpTool } from "./mcp-settings.ts";
import { checkMcpFault } from "./mcp-fault-fields.ts";
import type { McpFault } from "./mcp-fault.ts";
import type { ActiveMcpFault, McpServer } from "./mcp-server.ts";

/** This package's program, as it is: built, or in the source. */
const PROGRAM = fileURLToPath(
  import.meta.url.endsWith(".ts")
    ? new URL("./stdio-program.ts", import.meta.url)
    : new URL("./stdio-program.js", import.meta.url),
);

/** A fake MCP server that whoever wants it starts as a process. */
export class McpStdioServer implements McpServer {
  readonly log = new McpLog();
  /** All processes that ever ran, in the order in which they came. */
  readonly pids: number[] = [];
  /** Processes that those have started. */
  readonly helpers: number[] = [];
  /** What the last process found in its environment. */
  environment: Readonly<Record<string, string>> = {};
  readonly #listener = createServer((socket) => this.#joined(socket));
  readonly #running = new Map<Socket, number>();
  readonly #helper: boolean;
  #settings: McpSettings;

  constructor(settings: McpSettings, helper: boolean) {
    this.#settings = settings;
    this.#helper = helper;
  }

  async listen(): Promise<void> {
    this.#listener.listen(0, "127.0.0.1");
    this.#listener.unref();
    await once(this.#listener, "listening");
  }

  get name(): string {
    return this.#settings.name;
  }

  /** The program and its arguments. */
  get command(): [string, ...string[]] {
    const { port } = this.#listener.address() as AddressInfo;
    return [process.execPath, PROGRAM, String(port), ...(this.#helper ? ["--helper"] : [])];
  }

  /** The address of a server over HTTP; this one has none. */
  get url(): undefined {
    return undefined;
  }

  /** Those that are connected to this test now. */
  get running(): readonly number[] {
    return [...this.#running.values()];
  }

  get calls(): readonly McpLogEntry[] {
    return this.log.of("tools/call");
  }

  inject(fault: McpFault): ActiveMcpFault {
    checkMcpFault("stdio", fault);
    this.#change({ faults: [...this.#settings.faults, fault] });
    const off = () => this.#change({ faults: this.#settings.faults.filter((one) => one !== fault) });
    return { off, [Symbol.dispose]: off };
  }

  clearFaults(): void {
    this.#change({ faults: [] });
  }

  changeTools(tools: readonly McpTool[]): void {
    this.#change({ tools }, { jsonrpc: "2.0", method: "notifications/tools/list_changed" });
  }

  /** Is of another era from now on, for what runs and for what will be started. */
  become(era: McpEra): void {
    this.#change({ era });
  }

  /** Kills what runs, as a crash does. Resolves when it is gone. */
  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    for (const pid of this.running) {
      try {
        process.kill(pid, signal);
      } catch (error) {
        // It has died by itself, and this side does not know yet.
        if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
      }
    }
    await this.log.until(() => this.#running.size === 0);
  }

  /** Resolves when so many processes have been started in all. */
  started(count = 1): Promise<void> {
    return this.log.until(() => this.pids.length >= count);
  }

  /** Resolves when nothing runs. */
  gone(): Promise<void> {
    return this.log.until(() => this.#running.size === 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#running.keys()) socket.destroy();
    this.#listener.close();
    await this.gone();
  }

  #change(changes: Partial<McpSettings>, notify?: object): void {
    this.#settings = { ...this.#settings, ...changes };
    for (const socket of this.#running.keys()) this.#order(socket, notify);
  }

  #order(socket: Socket, notify?: object): void {
    socket.write(`${JSON.stringify({ settings: this.#settings, ...(notify && { notify }) })}\n`);
  }

  #joined(socket: Socket): void {
    socket.on("error", () => {});
    socket.on("close", () => {
      this.#running.delete(socket);
      this.log.changed();
    });
    const lines = createInterface({ input: socket });
    lines.on("error", () => {});
    lines.on("line", (line) => {
      const told = JSON.parse(line) as {
        pid?: number;
        helper?: number;
        environment?: Record<string, string>;
        read?: McpLogEntry;
      };
      if (told.read) {
        this.log.add(told.read);
        socket.write("{}\n");
      }
      if (told.pid === undefined) return;
      this.pids.push(told.pid);
      if (told.helper !== undefined) this.helpers.push(told.helper);
      this.environment = told.environment ?? {};
      this.#running.set(socket, told.pid);
      this.#order(socket);
      this.log.changed();
    });
  }
}
