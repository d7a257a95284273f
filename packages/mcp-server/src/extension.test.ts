import type { Server } from "@modelcontextprotocol/server";
import { expect, test } from "vitest";
import { joined, type ExtensionTool } from "./extension.ts";
import { startHttpServer } from "./testing/http-server.test-support.ts";

const tool = (name: string): ExtensionTool => ({
  definition: { name, inputSchema: { type: "object" } },
  run: () => ({ content: [{ type: "text", text: name }] }),
});
const NO_SERVERS = { pools: { files: { transport: "webdav" } } };

test("the tools of several extensions stand side by side, and each hears and is heard", async () => {
  const seen: string[] = [];
  const extension = (name: string) => ({
    tools: [tool(name)],
    connect: (_server: Server) => void seen.push(`connect ${name}`),
    watch: () => ({ [Symbol.dispose]: () => void seen.push(`dispose ${name}`) }),
  });
  const both = joined([extension("one"), extension("two")]);
  {
    await using server = await startHttpServer(NO_SERVERS, both ? { extension: both } : {});
    const client = await server.connect("newer");
    const names = (await client.listTools()).tools.map(({ name }) => name);
    expect(names.slice(-2)).toEqual(["one", "two"]);
    expect((await client.callTool({ name: "two", arguments: {} })).content).toEqual([{ type: "text", text: "two" }]);
    await client.close();
  }
  expect(new Set(seen)).toEqual(new Set(["connect one", "connect two", "dispose one", "dispose two"]));
});

test("one extension stays as it is, and none is none", () => {
  const one = { tools: [] };
  expect(joined([one])).toBe(one);
  expect(joined([])).toBeUndefined();
});

test("two extensions with a tool of one name are an error", async () => {
  const both = joined([{ tools: [tool("same")] }, { tools: [tool("same")] }]);
  await expect(startHttpServer(NO_SERVERS, both ? { extension: both } : {})).rejects.toMatchObject({
    code: "DUPLICATE_TOOL",
  });
});
