import { MISSING_COMMAND, createMcpServer } from "@davpool/testkit";
import { expect, test } from "vitest";
import { startHttpServer } from "../testing/http-server.test-support.ts";

test("the log says how many servers are there, which are not, and when none is, with the event of each line", async () => {
  await using good = await createMcpServer({ transport: "http", name: "good" });
  const missing = { serverId: "away", command: [MISSING_COMMAND], healthCheckInterval: 1_000 };
  await using davpool = await startHttpServer(
    {
      pools: {
        mixed: { transport: "mcp", health: { failures: 1 }, servers: [{ serverId: "here", url: good.url }, missing] },
        none: { transport: "mcp", health: { failures: 1 }, servers: [missing] },
      },
    },
    { systemTime: true },
  );
  const client = await davpool.connect("older");
  await client.listTools();
  const messages = () => davpool.lines.map(({ message }) => message);
  expect(messages()).toContain('Connected to 1 of 2 servers of pool "mixed"; not to away yet.');
  expect(messages()).toContain('Connected to none of the servers of pool "none": away.');
  const events = (pool: string) =>
    davpool.lines.flatMap(({ fields }) => (fields?.["pool"] === pool && fields["event"] ? fields["event"] : []));
  while (!events("mixed").includes("Load balancing") || !events("none").includes("all-down"))
    await new Promise((resolve) => setImmediate(resolve));
  expect(events("mixed")).toContain("Health check");
});
