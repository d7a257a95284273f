import { createMcpServer } from "@davpool/testkit";
import { expect, test } from "vitest";
import { startDavpool } from "../testing/davpool-process.test-support.ts";
import { HOSTILE_COMMAND } from "./testing/hostile-server.test-support.ts";

test.each(["older", "newer"] as const)(
  "a server that does what it can to harm changes nothing for a client of the %s line",
  async (client) => {
    await using good = await createMcpServer({
      transport: "stdio",
      name: "good",
      tools: [{ name: "read", text: '"read"' }],
    });
    await using davpool = await startDavpool({
      client,
      config: {
        store: "memory",
        pools: {
          good: { transport: "mcp", servers: [{ serverId: "g", command: good.command }] },
          bad: { transport: { type: "mcp", grace: "50ms" }, servers: [{ serverId: "b", command: HOSTILE_COMMAND }] },
        },
        gateway: { pools: { bad: { tools: { rename: { lists: "count" }, descriptions: { lists: "Counts." } } } } },
      },
    });
    const names = (await davpool.tools()).map(({ name }) => name);
    expect(names).toEqual([
      "good__read",
      "bad__constructor",
      "bad____proto__",
      "bad__mirror",
      "bad__count",
      "bad__fail",
    ]);
    // Deeper than can be written down again.
    await expect(davpool.call("bad__fail")).rejects.toMatchObject({ code: expect.any(Number) as number });
    expect((await davpool.call("bad__constructor")).value[0]).toBe("constructor");
    expect((await davpool.call("bad__mirror", { a: "b" })).value[0]).toBe("mirror");
    await expect(davpool.call("good__read")).resolves.toMatchObject({ value: "read" });
    // It was asked at the start, and once or twice more because it said that it had changed.
    const { value } = await davpool.call("bad__count");
    expect(value[1]).toBeLessThan(8);
  },
);
