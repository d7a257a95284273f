import { createMcpServer, type McpTool } from "@davpool/testkit";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { startHttpServer, type TestHttpServer } from "../testing/http-server.test-support.ts";

const OBJECT = { type: "object" };

/** A gateway to one server with these tools. */
async function offering<T>(tools: readonly McpTool[], use: (davpool: TestHttpServer) => Promise<T>): Promise<T> {
  await using server = await createMcpServer({ transport: "http", name: "up", tools });
  await using davpool = await startHttpServer(
    { pools: { up: { transport: "mcp", servers: [{ serverId: "u", url: server.url }] } } },
    { systemTime: true },
  );
  return await use(davpool);
}

describe("a list of tools for clients of 2025 protocols", () => {
  test("has every tool, whatever its schemas are like, and says once what it leaves out", async () => {
    const output = (outputSchema: object) => outputSchema as Readonly<Record<string, unknown>>;
    const tools: readonly McpTool[] = [
      {
        name: "booleans",
        inputSchema: { ...OBJECT, properties: { any: true, none: false, text: { type: "string" } } },
      },
      { name: "reference", outputSchema: output({ ...OBJECT, properties: { a: { $ref: "#/$defs/missing" } } }) },
      { name: "elsewhere", outputSchema: output({ ...OBJECT, properties: { a: { $ref: "https://example.com/a" } } }) },
      { name: "pattern", outputSchema: output({ ...OBJECT, properties: { a: { type: "string", pattern: "(" } } }) },
      { name: "list", outputSchema: output({ type: "array", items: { type: "number" } }), structuredContent: [1, 2] },
      {
        name: "good",
        outputSchema: output({
          ...OBJECT,
          properties: { a: { $ref: "#/$defs/text" } },
          $defs: { text: { type: "string" } },
        }),
        structuredContent: { a: "b" },
      },
    ];
    await offering(tools, async (davpool) => {
      const client = await davpool.connect("older");
      const listed = (await client.listTools()).tools;
      expect(listed.map(({ name }) => name)).toEqual(tools.map(({ name }) => name));
      expect(listed[0]?.inputSchema.properties).toEqual({ any: {}, none: { not: {} }, text: { type: "string" } });
      expect(listed.flatMap(({ name, outputSchema }) => (outputSchema ? name : []))).toEqual(["good"]);
      const answers = ["list", "good"].map((name) => client.callTool({ name, arguments: {} }));
      const contents = (await Promise.all(answers)).map(({ structuredContent }) => structuredContent);
      expect(contents).toEqual([{ result: [1, 2] }, { a: "b" }]);
      // Those of 2026-07-28 have it all as it is.
      const current = await davpool.connect("newer");
      const schemas = (await current.listTools()).tools.map(({ outputSchema }) => outputSchema);
      expect(schemas).toEqual(tools.map(({ outputSchema }) => outputSchema));
      expect((await current.callTool({ name: "list", arguments: {} })).structuredContent).toEqual([1, 2]);
      const warnings = davpool.lines.filter(({ message }) => message.includes("is left out for clients of 2025"));
      expect(warnings.map(({ fields }) => fields?.["tool"])).toEqual(["reference", "elsewhere", "pattern", "list"]);
    });
  });

  test("has the same bytes whichever way it is answered, and clients of the SDK's 1.x take it", async () => {
    const type = fc.constantFrom("object", "array", "string", "number", undefined);
    const inner = fc.oneof(
      fc.boolean(),
      fc.record({ type, description: fc.string() }, { requiredKeys: [] }),
      fc.constantFrom({ $ref: "#/$defs/a" }, { $ref: "#/properties/a" }, { $ref: "other.json" }, { pattern: "[" }),
    );
    const schema = (root: fc.Arbitrary<string | undefined>) =>
      fc.record(
        {
          type: root,
          properties: fc.dictionary(fc.constantFrom("a", "b", "__proto__", "ü"), inner, { maxKeys: 3 }),
          $defs: fc.record({ a: inner }, { requiredKeys: [] }),
          required: fc.array(fc.constantFrom("a", "b"), { maxLength: 2 }),
        },
        { requiredKeys: ["type"] },
      ) as fc.Arbitrary<Readonly<Record<string, unknown>>>;
    const tool = fc.record(
      { name: fc.string({ minLength: 1 }), inputSchema: schema(fc.constant("object")), outputSchema: schema(type) },
      { requiredKeys: ["name"] },
    ) as fc.Arbitrary<McpTool>;
    const lists = fc.uniqueArray(tool, { minLength: 1, maxLength: 8, selector: ({ name }) => name });
    const list = (more: object) => ({ jsonrpc: "2.0", id: 1, method: "tools/list", params: more });
    await fc.assert(
      fc.asyncProperty(lists, (tools) =>
        offering(tools, async (davpool) => {
          const client = await davpool.connect("older");
          const names = (await client.listTools()).tools.map(({ name }) => name);
          expect(new Set(names).size).toBe(tools.length);
          const session = { "mcp-session-id": await davpool.initialize() };
          const read = async (more: object) =>
            (await (await davpool.post(list(more), session)).text())
              .split("\n")
              .filter((line) => line.startsWith("data: {"));
          // What asks for a certain page is answered by the protocol's own code.
          expect(await read({})).toEqual(await read({ cursor: "" }));
        }),
      ),
      { numRuns: 25 },
    );
  });
});
