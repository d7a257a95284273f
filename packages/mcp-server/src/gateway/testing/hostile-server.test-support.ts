import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const PROGRAM = fileURLToPath(import.meta.url);

/** The command that runs a server that does what it can to harm whoever talks to it. */
export const HOSTILE_COMMAND = [process.execPath, PROGRAM, "run"] as const;

const say = (message: string) => process.stdout.write(`${message}\n`);
const nested = (depth: number) => `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`;

const TOOLS = [
  '{"name":{"toString":1,"valueOf":1},"inputSchema":{"type":"object"}}',
  `{"name":"deep","inputSchema":{"type":"object","properties":${nested(2_000)}}}`,
  '{"name":"constructor","inputSchema":{"type":"object"}}',
  '{"name":"__proto__","inputSchema":{"type":"object"}}',
  '{"name":"mirror","inputSchema":{"type":"object","properties":{"a":{"type":"string","x-mcp-header":"bad name\\r\\nx: y"}}}}',
  '{"name":"lists","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":true}}',
  '{"name":"fail","inputSchema":{"type":"object"}}',
  '{"name":"nested","inputSchema":{"type":"object"}}',
  "null",
  "7",
];

let lists = 0;

function answer(id: string, method: string, tool: string): void {
  if (method === "initialize")
    return void say(
      `{"jsonrpc":"2.0","id":${id},"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{"listChanged":true},"prompts":{}},"serverInfo":{"name":"hostile","version":"1"}}}`,
    );
  if (method === "tools/list") {
    lists++;
    say(`{"jsonrpc":"2.0","id":${id},"result":{"content":[],"prompts":[{"name":{}}],"tools":[${TOOLS.join(",")}]}}`);
    // As some do whenever they are asked.
    say('{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}');
    return undefined;
  }
  if (method === "prompts/list")
    return void say(`{"jsonrpc":"2.0","id":${id},"result":{"tools":[],"prompts":[{"name":{}},7]}}`);
  if (method !== "tools/call") return void say(`{"jsonrpc":"2.0","id":${id},"error":{"code":-32601,"message":"no"}}`);
  if (tool === "fail")
    return void say(`{"jsonrpc":"2.0","id":${id},"error":{"code":-1,"message":"deep","data":${nested(50_000)}}}`);
  if (tool === "nested")
    return void say(`{"jsonrpc":"2.0","id":${id},"result":{"content":[],"structuredContent":${nested(20_000)}}}`);
  return void say(
    `{"jsonrpc":"2.0","id":${id},"result":{"content":[{"type":"text","text":"[\\"${tool}\\",${lists}]"}]}}`,
  );
}

if (process.argv[1] === PROGRAM && process.argv[2] === "run")
  createInterface({ input: process.stdin }).on("line", (line) => {
    const { id, method, params } = JSON.parse(line) as { id?: unknown; method: string; params?: { name?: string } };
    if (id !== undefined) answer(JSON.stringify(id), method, params?.name ?? "");
  });
