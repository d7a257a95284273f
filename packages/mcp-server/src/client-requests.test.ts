import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { Client as OlderClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport as OlderStdio } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport as OlderHttp } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
} from "@modelcontextprotocol/sdk/types.js";
import { expect, test } from "vitest";
import { CONFORMANCE_CONFIG } from "./testing/conformance/config.test-support.ts";
import { BIN, temporaryFolder } from "./testing/davpool-process.test-support.ts";
import { startHttpProcess } from "./testing/http-process.test-support.ts";

const LINES = ["the SDK's 1.x", "the SDK's 2.x, with a 2025 protocol", "the SDK's 2.x, with 2026-07-28"] as const;
type Line = (typeof LINES)[number];

const ME = { name: "test", version: "1.0.0" };
const ROOTS = { roots: [{ uri: "file:///home", name: "home" }] };
const model = (words: string) => ({
  model: "none",
  role: "assistant" as const,
  content: { type: "text" as const, text: words },
});

/** A client that can answer whatever a server asks. */
function answeringClient(line: Line, toolsChanged: () => void): Client {
  const options = {
    capabilities: { elicitation: {}, sampling: {}, roots: {} },
    listChanged: { tools: { autoRefresh: false, debounceMs: 0, onChanged: toolsChanged } },
  };
  if (line === "the SDK's 1.x") {
    const client = new OlderClient(ME, options);
    client.setRequestHandler(ElicitRequestSchema, () => ({ action: "accept", content: { name: "Ada" } }));
    client.setRequestHandler(CreateMessageRequestSchema, () => model("Hello"));
    client.setRequestHandler(ListRootsRequestSchema, () => ROOTS);
    return client as unknown as Client;
  }
  const mode = line === "the SDK's 2.x, with 2026-07-28" ? ("auto" as const) : ("legacy" as const);
  const client = new Client(ME, { ...options, versionNegotiation: { mode } });
  client.setRequestHandler("elicitation/create", () => ({ action: "accept", content: { name: "Ada" } }));
  client.setRequestHandler("sampling/createMessage", () => model("Hello"));
  client.setRequestHandler("roots/list", () => ROOTS);
  return client;
}

/** Connects a client to a davpool of its own. */
async function connect(
  line: Line,
  way: "stdio" | "HTTP",
  toolsChanged: () => void,
): Promise<{ readonly client: Client } & AsyncDisposable> {
  const older = line === "the SDK's 1.x";
  const client = answeringClient(line, toolsChanged);
  await using stack = new AsyncDisposableStack();
  if (way === "HTTP") {
    const { url } = stack.use(await startHttpProcess(CONFORMANCE_CONFIG));
    const where = new URL(url);
    await client.connect(older ? new OlderHttp(where) : new StreamableHTTPClientTransport(where));
  } else {
    const { path } = stack.use(await temporaryFolder());
    await writeFile(join(path, "davpool.config.json"), JSON.stringify(CONFORMANCE_CONFIG));
    const program = { command: process.execPath, args: [BIN, "serve"], cwd: path, stderr: "ignore" as const };
    await client.connect(older ? new OlderStdio(program) : new StdioClientTransport(program));
  }
  stack.defer(() => client.close());
  const used = stack.move();
  return { client, [Symbol.asyncDispose]: () => used.disposeAsync() };
}

test.each(
  LINES.flatMap((line) => [
    { line, way: "stdio" as const },
    { line, way: "HTTP" as const },
  ]),
)("a client of $line over $way answers what a tool asks, and hears of progress and changes", async ({ line, way }) => {
  const changes: string[] = [];
  await using connection = await connect(line, way, () => void changes.push("tools"));
  const { client } = connection;
  expect(client.getNegotiatedProtocolVersion?.() ?? "2025-11-25").toBe(
    line === "the SDK's 2.x, with 2026-07-28" ? "2026-07-28" : "2025-11-25",
  );

  const asked = await client.callTool({ name: "test_input_required_result_multiple_inputs", arguments: {} });
  expect(asked.content).toEqual([{ type: "text", text: "Hello Ada: 1 root(s) visible" }]);

  const progress: number[] = [];
  const long = { name: "test_tool_with_progress", arguments: {} };
  const onprogress = (step: { readonly progress: number }) => void progress.push(step.progress);
  await (line === "the SDK's 1.x"
    ? (client as unknown as OlderClient).callTool(long, undefined, { onprogress })
    : client.callTool(long, { onprogress }));
  // The SDK's clients forget who listens as soon as the answer is read: the last report may come in one piece with it.
  expect(progress.filter((step) => step < 100)).toEqual([0, 50]);

  // A client opens the stream for such news when it likes, and what happened before it does not hear.
  while (changes.length === 0) await client.callTool({ name: "test_trigger_tool_change", arguments: {} });

  const { resourceTemplates } = await client.listResourceTemplates();
  expect(resourceTemplates).toMatchObject([{ uriTemplate: "test://template/{id}/data" }]);
  const { messages } = await client.getPrompt({
    name: "test_prompt_with_arguments",
    arguments: { arg1: "a", arg2: "b" },
  });
  expect(messages[0]?.content).toMatchObject({ text: "Prompt with arguments: arg1='a', arg2='b'" });
});
