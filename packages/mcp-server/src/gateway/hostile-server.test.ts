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
      "bad__nested",
    ]);
    for (const deep of ["bad__fail", "bad__nested"])
      await expect(davpool.call(deep)).rejects.toMatchObject({
        code: -32_003,
        message: expect.stringContaining("more than 100 levels deep") as string,
        data: { code: "ANSWER_TOO_LARGE", pool: "bad", server: "b" },
      });
    expect((await davpool.call("bad__constructor")).value[0]).toBe("constructor");
    expect((await davpool.call("bad__mirror", { a: "b" })).value[0]).toBe("mirror");
    await expect(davpool.call("good__read")).resolves.toMatchObject({ value: "read" });
    // It was asked at the start, and once or twice more because it said that it had changed.
    const { value } = await davpool.call("bad__count");
    expect(value[1]).toBeLessThan(8);
  },
);
