import { readFile, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { createManualClock } from "@davpool/core";
import type { WebDavResponse } from "@davpool/transport-webdav";
import { describe, expect, test } from "vitest";
import { startReloading, type Reloading } from "./reloading.test-support.ts";

const GET = { method: "GET", path: "/hello.txt" };
const none = { added: [], removed: [], replaced: [], updated: [], sections: [] };
const read = { consume: ({ body }: WebDavResponse) => body.text() };

const files = (reloading: Reloading, pool: object, ...servers: readonly number[]) => ({
  pools: { files: { transport: "webdav", servers: reloading.servers(...servers), ...pool } },
});

const RELOADS = 200;

test("two hundred reloads while 64 callers use the pool fail no call, and leave nothing behind", async () => {
  await using reloading = await startReloading({ cluster: { servers: 3, logLimit: 100 } });
  const { pool, reloader, cluster } = reloading;
  const kinds = ["round-robin", "random", "least-connections", "response-time"];
  const stop = new AbortController();
  let calls = 0;
  const failures: unknown[] = [];
  const served = new Set<string>();
  const caller = async (number: number) => {
    for (let turn = 0; !stop.signal.aborted; turn++) {
      const path = `/file-${number}.txt`;
      const [method, body] = turn % 4 === 0 ? ["PUT", `turn ${turn}`] : ["GET", undefined];
      try {
        const { value, serverId } = await pool.execute(
          { method, path, ...(body !== undefined && { body }) },
          { consume: async ({ status, body: answer }) => `${status} ${await answer.text()}` },
        );
        served.add(serverId);
        const expected = method === "GET" ? `200 turn ${turn - (turn % 4)}` : /^20[14] /;
        expect(value).toMatch(expected);
      } catch (error) {
        failures.push(error);
      }
      calls++;
    }
  };
  const callers = Array.from({ length: 64 }, (_, number) => caller(number));
  const sets = [[1, 2], [1, 2, 3], [3, 2], [2]];
  for (let turn = 1; turn <= RELOADS; turn++) {
    // Settings and servers change in turn, both at once now and then.
    await reloading.write(
      files(
        reloading,
        { strategy: kinds[Math.floor(turn / 2) % kinds.length], limits: { retryBudget: turn % 7 === 0 ? 0.1 : 0.2 } },
        ...(sets[turn % sets.length] as number[]),
      ),
    );
    const result = await reloader.reload("test");
    expect(result.outcome).toBe("applied");
  }
  stop.abort();
  await Promise.all(callers);
  expect(failures).toEqual([]);
  expect([...served].toSorted()).toEqual(["server-1", "server-2", "server-3"]);
  expect(pool.stats().requestStats).toMatchObject({ total: calls, successful: calls, failed: 0 });
  expect(reloading.applied).toHaveLength(RELOADS);
  await reloading.open[Symbol.asyncDispose]();
  await Promise.all(cluster.servers.map((server) => server.disconnected()));
  // So that nobody takes a run in which little was called for a proof.
  expect(calls).toBeGreaterThan(RELOADS * 10);
});

describe("a reload", () => {
  test("puts another strategy into force", async () => {
    await using reloading = await startReloading({ files: { strategy: "round-robin", tiers: false } });
    const { pool, reloader } = reloading;
    const servers = reloading.servers(1, 2).map((server, index) => ({ ...server, priority: 2 - index }));
    await reloading.write({ pools: { files: { transport: "webdav", strategy: "priority", tiers: false, servers } } });
    expect(await reloader.reload("SIGHUP")).toEqual({ outcome: "applied", changes: { ...none, replaced: ["files"] } });
    for (let call = 0; call < 5; call++) expect((await pool.execute(GET, read)).serverId).toBe("server-2");
    expect(reloading.lines.at(-1)).toEqual({
      level: "info",
      message: "The configuration was reloaded (SIGHUP): pool files has other settings.",
    });
  });

  test("that finds nothing new says so", async () => {
    await using reloading = await startReloading();
    expect(await reloading.reloader.reload("SIGHUP")).toEqual({ outcome: "unchanged" });
    expect(reloading.lines.at(-1)?.message).toBe("The configuration was reloaded (SIGHUP): nothing has changed.");
    expect(reloading.applied).toEqual([]);
  });

  test("lets a download end that comes from a server which is gone", async () => {
    await using reloading = await startReloading();
    const { pool, reloader, cluster } = reloading;
    const content = Buffer.alloc(16 * 1024 * 1024, "davpool ");
    cluster.tree?.write("/large.bin", content);
    const { value } = await pool.execute({ method: "GET", path: "/large.bin" }, { serverId: "server-1" });
    const chunks: Uint8Array[] = [];
    for await (const chunk of value.body) {
      if (chunks.push(chunk) > 1) continue;
      await reloading.write(files(reloading, {}, 2));
      expect(await reloader.reload("test")).toMatchObject({ changes: { updated: ["files"] } });
      await reloading.write(files(reloading, { strategy: "random" }, 2));
      expect(await reloader.reload("test")).toMatchObject({ changes: { replaced: ["files"] } });
      expect((await pool.execute(GET, read)).serverId).toBe("server-2");
      expect(cluster.servers[0]?.connections).toBeGreaterThan(0);
    }
    expect(Buffer.concat(chunks).equals(content)).toBe(true);
    await cluster.servers[0]?.disconnected();
  });

  test("knows who granted a lock, also under another strategy", async () => {
    await using reloading = await startReloading({ files: { strategy: "round-robin" } });
    const { pool, reloader } = reloading;
    const lock = await pool.execute(
      {
        method: "LOCK",
        path: "/hello.txt",
        body: '<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>',
      },
      { consume: ({ headers, body }) => body.text().then(() => String(headers["lock-token"])) },
    );
    for (const strategy of ["random", "round-robin", "response-time"]) {
      await reloading.write(files(reloading, { strategy }, 1, 2));
      await reloader.reload("test");
      const { value, serverId } = await pool.execute(
        { method: "PUT", path: "/hello.txt", headers: { If: `(${lock.value})` }, body: "locked" },
        { consume: ({ status, body }) => body.text().then(() => status) },
      );
      expect([value, serverId]).toEqual([204, lock.serverId]);
    }
  });

  test("keeps added servers and counts in their file, also while two engines have it open", async () => {
    const [own, named] = [{ store: "file" }, { store: { type: "file", path: "servers.json" } }];
    const security = { allowHosts: ["127.0.0.1"] };
    await using reloading = await startReloading({ more: { ...own, security } });
    const { pool, reloader, cluster, folder } = reloading;
    await pool.add({ serverId: "added", url: cluster.urls[2] });
    await pool.execute(GET, read);
    const { value } = await pool.execute(GET);
    // Both are the same file, and other options all the same.
    for (const [turn, store] of [named, own, named].entries()) {
      await reloading.write({ security, ...store, ...files(reloading, {}, 1, 2) });
      expect(await reloader.reload("test")).toMatchObject({ changes: { replaced: ["files"] } });
      await pool.add({ serverId: `added-${turn}`, url: cluster.urls[2] });
      await pool.execute(GET, read);
    }
    await value.body.text();
    const ids = ["server-1", "server-2", "added", "added-0", "added-1", "added-2"];
    expect(pool.list().map((server) => server.serverId)).toEqual(ids);
    expect(pool.stats().requestStats).toMatchObject({ total: 5, successful: 5 });
    await reloading.open[Symbol.asyncDispose]();
    const stored = JSON.parse(await readFile(join(folder, "servers.health.json"), "utf8")) as object;
    expect(JSON.stringify(stored)).toContain('"total":5');
  });

  test("leaves listeners where they are", async () => {
    await using reloading = await startReloading({ files: { health: { enabled: false } } });
    const { pool, reloader, cluster } = reloading;
    const heard: string[] = [];
    pool.on("failover", ({ from, to }) => void heard.push(`${from} to ${to}`));
    pool.on("servers-changed", ({ serverId, change }) => void heard.push(`${serverId} ${change}`));
    await reloading.write(files(reloading, { strategy: "priority", health: { enabled: false } }, 1, 3));
    await reloader.reload("test");
    await cluster.servers[0]?.stop();
    expect((await pool.execute(GET, read)).serverId).toBe("server-3");
    expect(heard).toEqual(["server-2 removed", "server-3 added", "server-1 to server-3"]);
    await cluster.servers[0]?.start();
  });

  test("gives what it knows to pools that come, and closes those that go", async () => {
    await using reloading = await startReloading();
    const { pool, reloader, open } = reloading;
    await reloading.write({ pools: { media: { transport: "webdav", servers: reloading.servers(3) } } });
    const changes = { ...none, added: ["media"], removed: ["files"] };
    expect(await reloader.reload("test")).toEqual({ outcome: "applied", changes });
    await expect(pool.execute(GET)).rejects.toMatchObject({ code: "POOL_CLOSED" });
    expect((await open.pools.get("media")?.execute(GET as never, read as never))?.serverId).toBe("server-3");
    expect(reloading.lines.at(-1)?.message).toContain("pool media is new; pool files is gone");
  });
});

describe("a file that is wrong", () => {
  test("is reported with everything that is wrong, and the old configuration stays", async () => {
    await using reloading = await startReloading();
    const { reloader, open, pool, lines } = reloading;
    const before = open.config;
    await reloading.write(files(reloading, { strategie: "random", servers: [{ serverId: "eu", url: 5 }] }));
    expect(await reloader.reload("SIGHUP")).toMatchObject({ outcome: "refused", error: { code: "INVALID_CONFIG" } });
    expect(lines.filter(({ level }) => level === "error")).toHaveLength(1);
    const { message } = lines.at(-1) as { message: string };
    expect(message).toContain("The configuration was not reloaded (SIGHUP), and the one in use stays.");
    expect(message).toContain(`${reloading.file} has 2 problems:\n`);
    expect(message).toContain("pools.files.strategie: unknown key");
    expect(message).toContain("pools.files.servers[0].url: must be a string; got 5.");
    await writeFile(reloading.file, '{ "pools": ');
    expect(await reloader.reload("SIGHUP")).toMatchObject({ outcome: "refused" });
    expect(open.config).toBe(before);
    expect((await pool.execute(GET, read)).value).toBe("hello");
    expect(reloading.applied).toEqual([]);
  });

  test("because a plugin does not start leaves every pool as it was", async () => {
    await using reloading = await startReloading({ name: "davpool.config.ts" });
    const { reloader, pool } = reloading;
    await writeFile(reloading.file, broken(reloading));
    expect(await reloader.reload("test")).toMatchObject({ outcome: "refused" });
    expect(reloading.lines.at(-1)?.message).toMatch(
      /the one in use stays\. The policy plugin "licensed" of pool "media" failed in start: no licence \(at .*:4\)/,
    );
    expect((await pool.execute(GET, read)).value).toBe("hello");
    expect(pool.list()).toHaveLength(2);
  });

  test("or gone does not make another one be looked for", async () => {
    await using reloading = await startReloading();
    await writeFile(join(reloading.folder, "davpool.config.yaml"), "pools: {}");
    await unlink(reloading.file);
    expect(await reloading.reloader.reload("test")).toMatchObject({ outcome: "refused" });
    expect(reloading.lines.at(-1)?.message).toContain("does not exist");
  });
});

/** A configuration whose second pool has a policy that does not start. */
function broken(reloading: Reloading): string {
  const pool = JSON.stringify({ transport: "webdav", servers: reloading.servers(1) });
  return `
    const licensed = {
      contract: 1, kind: "policy", name: "licensed", options: { type: "object", properties: {} },
      create: () => ({}), start: () => Promise.reject(new Error("no licence")),
    };
    export default { store: "memory", pools: { files: ${pool}, media: { ...${pool}, policies: [licensed] } } };
  `;
}

describe("reloads at one time", () => {
  test("are joined: what is asked for during one is done once after it", async () => {
    await using reloading = await startReloading();
    const { reloader, lines } = reloading;
    const first = reloader.reload("one");
    const [second, third] = [reloader.reload("two"), reloader.reload("three")];
    expect(third).toBe(second);
    await reloading.write(files(reloading, {}, 1, 2, 3));
    await Promise.all([first, second]);
    expect(reloading.pool.list()).toHaveLength(3);
    expect(lines.filter(({ message }) => message.includes("reloaded"))).toHaveLength(2);
    expect(lines.at(-1)?.message).toContain("(two, three)");
  });

  test("and the end of the pools do not meet", async () => {
    const reloading = await startReloading();
    await reloading.write(files(reloading, { strategy: "random" }, 1));
    const reload = reloading.reloader.reload("late");
    await reloading.open[Symbol.asyncDispose]();
    expect((await reload).outcome).toBe("refused");
    await reloading[Symbol.asyncDispose]();
  });
});

describe("what is not about pools", () => {
  test("waits for a restart, unless the host takes it up", async () => {
    await using reloading = await startReloading({
      take: (_config, { sections }) => sections.filter((key) => key === "tools"),
    });
    const { reloader, lines } = reloading;
    const more = { tools: { maxBodySize: 5 }, security: { managementTools: false } };
    await reloading.write({ ...more, ...files(reloading, {}, 1, 2) });
    const changes = { ...none, sections: ["security", "tools"] };
    expect(await reloader.reload("SIGHUP")).toEqual({ outcome: "applied", changes });
    expect(lines.slice(-2).map(({ message }) => message)).toEqual([
      "The configuration was reloaded (SIGHUP): sections security, tools differ.",
      "What changed in security applies after a restart.",
    ]);
    // It still waits.
    expect(await reloader.reload("SIGHUP")).toMatchObject({ changes: { sections: ["security"] } });
    await reloading.write(files(reloading, {}, 1, 2));
    expect(await reloader.reload("SIGHUP")).toMatchObject({ changes: { sections: ["tools"] } });
  });

  test("does not undo the reload when the host fails", async () => {
    await using reloading = await startReloading({ take: () => Promise.reject(new Error("cannot listen")) });
    await reloading.write(files(reloading, {}, 1));
    expect(await reloading.reloader.reload("test")).toMatchObject({ outcome: "applied" });
    expect(reloading.lines.at(-1)?.message).toContain("failed to follow: cannot listen");
    expect(reloading.pool.list()).toHaveLength(1);
  });
});

test("no timer and no socket is left when the pools are closed after reloads", async () => {
  const before = resources();
  const clock = createManualClock();
  {
    await using reloading = await startReloading({ clock });
    using _ = reloading.reloader.watch();
    for (const strategy of ["random", "round-robin"]) {
      await reloading.write(files(reloading, { strategy }, 1, 3));
      await reloading.reloader.reload("test");
      await reloading.pool.execute(GET, read);
    }
    await reloading.open[Symbol.asyncDispose]();
    await Promise.all(reloading.cluster.servers.map((server) => server.disconnected()));
  }
  // The one that times attempts runs out by itself.
  clock.advance(10);
  expect(clock.pending).toBe(0);
  await setImmediate();
  // Those of the test runner may end meanwhile.
  for (const [kind, count] of resources()) expect([kind, count <= (before.get(kind) ?? 0)]).toEqual([kind, true]);
});

function resources(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const kind of process.getActiveResourcesInfo())
    if (/^(TCP|Timeout|FSEvent)/.test(kind)) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return counts;
}
