import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { missingProgram, startApache, type RealServer } from "@davpool/testkit/real-servers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startDavpool, type ClientLine, type DavpoolProcess } from "./testing/davpool-process.test-support.ts";

const IDS = ["first", "second", "third"] as const;
const auth = { username: "alice", password: "wonder land" };

function configFor(servers: readonly RealServer[]): object {
  return {
    store: "memory",
    pools: {
      files: {
        transport: "webdav",
        health: { recoveryInterval: "100ms", ejection: "100ms", slowStart: 0 },
        servers: servers.map(({ url }, index) => ({
          serverId: IDS[index],
          url,
          username: auth.username,
          password: { env: "DAV_PASSWORD_FOR_TEST" },
          priority: index + 1,
          group: index < 2 ? "pair" : "single",
        })),
      },
    },
  };
}

function start(servers: readonly RealServer[], client: ClientLine): Promise<DavpoolProcess> {
  return startDavpool({ client, config: configFor(servers), environment: { DAV_PASSWORD_FOR_TEST: auth.password } });
}

/** Bytes that no text encoding leaves alone. */
function content(index: number): Buffer {
  return Buffer.from(Array.from({ length: 500 + index }, (_, at) => (at * 7 + index) % 256));
}

function put(davpool: DavpoolProcess, path: string, bytes: Buffer) {
  return davpool.call("dav_request", {
    method: "PUT",
    path,
    body: bytes.toString("base64"),
    bodyEncoding: "base64",
  });
}

async function bytesOf(davpool: DavpoolProcess, path: string): Promise<Buffer> {
  const { value } = await davpool.call("dav_request", { method: "GET", path });
  expect(value).toMatchObject({ status: 200, success: true });
  return Buffer.from(value.body, value.bodyEncoding);
}

/** Starts a server and waits for davpool's health checks to find it. */
async function bringBack(davpool: DavpoolProcess, server: RealServer, serverId: string): Promise<void> {
  const healthy = davpool.logged(`Server ${serverId} is healthy`);
  await server.start();
  await healthy;
}

describe.skipIf(missingProgram("apache2")).each(["older", "newer"] as const)(
  "three Apache servers, %s client",
  (client) => {
    describe("over one document root", () => {
      let root: string;
      let servers: RealServer[];

      beforeAll(async () => {
        root = await mkdtemp(join(tmpdir(), "davpool-root-"));
        servers = [];
        for (const _ of IDS) servers.push(await startApache({ root, auth }));
      });
      afterAll(async () => {
        for (const server of servers) await server[Symbol.asyncDispose]();
        await rm(root, { recursive: true });
      });

      test("write, list, read back, move and copy", async () => {
        await using davpool = await start(servers, client);
        await davpool.call("dav_request", { method: "MKCOL", path: "/work" });
        for (let index = 0; index < 20; index++) {
          const { value } = await put(davpool, `/work/file ${index} é.bin`, content(index));
          expect(value).toMatchObject({ status: 201, success: true, serverId: "first" });
        }
        const listed = await davpool.call("dav_request", { method: "PROPFIND", path: "/work/", depth: "1" });
        expect(listed.value).toMatchObject({ status: 207, success: true });
        expect(listed.value.body.match(/<D:response\b/g)).toHaveLength(21);
        for (let index = 0; index < 20; index++)
          expect((await bytesOf(davpool, `/work/file ${index} é.bin`)).equals(content(index))).toBe(true);

        const moved = await davpool.call("dav_request", {
          method: "MOVE",
          path: "/work/file 0 é.bin",
          headers: { Destination: "/work/moved.bin" },
        });
        expect(moved.value).toMatchObject({ status: 201, success: true });
        const copied = await davpool.call("dav_request", {
          method: "COPY",
          path: "/work/moved.bin",
          headers: { Destination: "/work/copied.bin" },
        });
        expect(copied.value).toMatchObject({ status: 201, success: true });
        const names = await readdir(join(root, "work"));
        expect(names).toContain("moved.bin");
        expect(names).toContain("copied.bin");
        expect(names).not.toContain("file 0 é.bin");
        expect((await readFile(join(root, "work", "copied.bin"))).equals(content(0))).toBe(true);
      });

      test("killing the primary between and during requests loses no read and no PUT, and it goes back afterwards", async () => {
        const [primary] = servers as [RealServer];
        await using davpool = await start(servers, client);
        await put(davpool, "/kept.bin", content(1));

        // Between requests.
        await primary.kill("SIGKILL");
        expect((await bytesOf(davpool, "/kept.bin")).equals(content(1))).toBe(true);
        expect((await put(davpool, "/written-while-down.bin", content(2))).value).toMatchObject({
          success: true,
          serverId: "second",
        });
        await bringBack(davpool, primary, "first");

        // During requests: eight clients keep reading and writing while it dies and returns.
        const stop = new AbortController();
        let requests = 0;
        let [wanted, reached] = [0, () => {}];
        const more = (count: number) =>
          new Promise<void>((resolve) => ([wanted, reached] = [requests + count, resolve]));
        const worker = async (id: number) => {
          for (let round = 0; !stop.signal.aborted; round++) {
            const bytes = content(id * 100 + (round % 50));
            const written = await put(davpool, `/busy-${id}.bin`, bytes);
            expect(written.value).toMatchObject({ success: true });
            expect((await bytesOf(davpool, `/busy-${id}.bin`)).equals(bytes)).toBe(true);
            requests += 2;
            if (requests >= wanted) reached();
          }
        };
        const workers = Array.from({ length: 8 }, (_, id) => worker(id));
        for (let kill = 0; kill < 3; kill++) {
          await Promise.race([more(50), Promise.all(workers)]);
          await primary.kill("SIGKILL");
          await Promise.race([more(50), Promise.all(workers)]);
          await bringBack(davpool, primary, "first");
        }
        stop.abort();
        await Promise.all(workers);

        const { value: stats } = await davpool.call("dav_pool_stats");
        expect(stats.requestStats.failed).toBe(0);
        expect(stats.requestStats.failoverCount).toBeGreaterThanOrEqual(4);
        const { value: last } = await davpool.call("dav_request", { method: "GET", path: "/kept.bin" });
        expect(last.serverId).toBe("first");
      });
    });

    describe("over separate document roots", () => {
      test("a write to a group reaches every member and nobody else", async () => {
        await using one = await startApache({ auth });
        await using two = await startApache({ auth });
        await using three = await startApache({ auth });
        await using davpool = await start([one, two, three], client);
        for (let index = 0; index < 20; index++) {
          const { value } = await davpool.call("dav_request", {
            method: "PUT",
            path: `/file-${index}.bin`,
            body: content(index).toString("base64"),
            bodyEncoding: "base64",
            serverGroup: "pair",
          });
          expect(value.results).toMatchObject([
            { serverId: "first", status: 201, success: true },
            { serverId: "second", status: 201, success: true },
          ]);
        }
        for (const server of [one, two]) {
          expect(await readdir(server.root)).toHaveLength(20);
          for (let index = 0; index < 20; index++)
            expect((await readFile(join(server.root, `file-${index}.bin`))).equals(content(index))).toBe(true);
        }
        expect(await readdir(three.root)).toHaveLength(0);

        await one.kill("SIGKILL");
        for (let index = 0; index < 20; index++)
          expect((await bytesOf(davpool, `/file-${index}.bin`)).equals(content(index))).toBe(true);
        const { value: half } = await davpool.call("dav_request", {
          method: "PUT",
          path: "/half.bin",
          body: "x",
          serverGroup: "pair",
        });
        expect(half.results).toMatchObject([
          { serverId: "first", success: false, error: { code: "NO_SERVER_AVAILABLE" } },
          { serverId: "second", success: true, status: 201 },
        ]);
      });
    });
  },
);
