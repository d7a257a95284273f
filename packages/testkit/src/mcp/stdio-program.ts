import { spawn } from "node:child_process";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { faultOf } from "./mcp-fault.ts";
import { entryOf } from "./mcp-log.ts";
import { beginsSession, longReply, progressOf, replyTo, type RpcMessage } from "./mcp-replies.ts";
import type { McpSettings } from "./mcp-settings.ts";

/*
 * A fake MCP server as a process. It is told what it is like, and tells what it reads, over a connection to the test that
 * made it: `node stdio-program.ts <port>`.
 */

let settings: McpSettings | undefined;
let answered = 0;
let helper: number | undefined;
/** Messages that wait for a fault to be switched off. */
let held: RpcMessage[] = [];
/** Messages that were read, and that the test does not know of yet. Nothing is done before it does. */
const unknown: RpcMessage[] = [];

const [port = "0", ...flags] = process.argv.slice(2);
if (flags.includes("--helper")) helper = spawn("sleep", ["600"], { stdio: "inherit" }).pid;

const control = connect(Number(port), "127.0.0.1");
control.on("error", () => process.exit(9));
// Without the test there is nothing to do.
control.on("close", () => process.exit(0));
tell({ pid: process.pid, ...(helper !== undefined && { helper }), environment: process.env });

const orders = createInterface({ input: control });
orders.on("error", () => process.exit(9));
orders.on("line", (line) => {
  const order = JSON.parse(line) as { settings?: McpSettings; notify?: RpcMessage };
  if (!order.settings) {
    // The test knows of the oldest message that it did not know of.
    const message = unknown.shift();
    if (message) take(message);
    return;
  }
  const first = settings === undefined;
  settings = order.settings;
  if (first) begin(settings);
  if (order.notify) write(order.notify);
  const messages = held;
  held = [];
  for (const message of messages) take(message);
});

function tell(what: object): void {
  control.write(`${JSON.stringify(what)}\n`);
}

function write(message: object): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

function begin({ faults }: McpSettings): void {
  const exit = faultOf(faults, "exit-at-once");
  if (exit) {
    process.stderr.write("it cannot run here\n");
    process.exit(exit.code ?? 1);
  }
  if (faultOf(faults, "stubborn")) process.on("SIGTERM", () => {});
  const input = createInterface({ input: process.stdin });
  input.on("line", read);
  input.on("close", () => {
    if (!faultOf(settings?.faults ?? [], "stubborn")) process.exit(0);
  });
}

function read(line: string): void {
  const message = JSON.parse(line) as RpcMessage;
  unknown.push(message);
  control.write(`${JSON.stringify({ read: entryOf(message, process.pid) })}\n`);
}

function take(message: RpcMessage): void {
  if (!settings) return;
  const { faults } = settings;
  const { method, id } = message;
  const begins = beginsSession(method);
  const call = method === "tools/call";
  const hang = faultOf(faults, "hang");
  if (hang && (hang.on === "initialize" ? begins : call)) {
    held.push(message);
    return;
  }
  const crash = faultOf(faults, "crash");
  const dies =
    (begins && faultOf(faults, "crash-before-ready") !== undefined) ||
    (method === "server/discover" && faultOf(faults, "exit-on-discover") !== undefined) ||
    (call && crash !== undefined && answered >= crash.after);
  if (dies) {
    process.stderr.write("it dies\n");
    process.exit(1);
  }
  if (id === undefined) return;
  if (faultOf(faults, "garbage")) process.stdout.write("Server is listening…\n{}\n[1]\n");
  for (const step of progressOf(message)) write(step);
  const reply = replyTo(message, settings);
  const long = call && faultOf(faults, "long-line");
  if (long && reply) write(longReply(reply, long.bytes));
  else if (call && faultOf(faults, "invalid-json")) process.stdout.write(`${JSON.stringify(reply).slice(0, -20)}\n`);
  else if (reply) write(reply);
  if (call) answered++;
}
