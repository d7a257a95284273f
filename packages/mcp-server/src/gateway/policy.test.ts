import { fileURLToPath } from "node:url";
import { createMcpServer } from "@davpool/testkit";
import { expect, test } from "vitest";
import { startHttpServer } from "../testing/http-server.test-support.ts";

const RULES = fileURLToPath(new URL("testing/rules-policy.test-support.ts", import.meta.url));
const textOf = (result: unknown) => (result as { content: { text: string }[] }).content[0]?.text;

test("policies see pool, server, tool, arguments and caller; they deny, rewrite and keep off servers", async () => {
  await using one = await createMcpServer({ transport: "http", name: "one" });
  await using two = await createMcpServer({ transport: "http", name: "two" });
  await using davpool = await startHttpServer(
    {
      plugins: [RULES],
      pools: {
        up: {
          transport: "mcp",
          policies: ["rules"],
          servers: [
            { serverId: "one", url: one.url },
            { serverId: "two", url: two.url },
          ],
        },
      },
    },
    { systemTime: true },
  );
  const client = await davpool.connect("newer");
  await expect(client.callTool({ name: "add", arguments: {} })).rejects.toMatchObject({
    code: -32_600,
    message: expect.stringContaining("nobody may not use add in up") as string,
    data: { code: "POLICY_DENIED", pool: "up" },
  });
  expect([...one.log.of("add"), ...two.log.of("add")]).toHaveLength(0);
  expect(textOf(await client.callTool({ name: "read", arguments: { path: "/a" } }))).toMatch(
    /^(?:one|two) read \{"path":"\/a","by":"rules"\}$/,
  );
  for (let call = 0; call < 4; call++)
    expect(textOf(await client.callTool({ name: "put", arguments: {} }))).toBe("two put {}");
});
