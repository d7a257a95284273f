import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { missingProgram, startApache, startNginx, type RealServer, type RealServerOptions } from "./index.ts";

const LOCK_BODY = `<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>`;

describe.skipIf(missingProgram("apache2"))("a real Apache", () => {
  behavesAsAServer(startApache);
});
describe.skipIf(missingProgram("nginx"))("a real nginx", () => {
  behavesAsAServer(startNginx);
});

function behavesAsAServer(start: (options?: RealServerOptions) => Promise<RealServer>): void {
  test("serves a folder by WebDAV", async () => {
    await using server = await start();
    const url = `${server.url}a.txt`;
    expect((await fetch(url, { method: "PUT", body: "text" })).status).toBe(201);
    expect(await readFile(join(server.root, "a.txt"), "utf8")).toBe("text");
    expect((await fetch(`${server.url}folder/`, { method: "MKCOL" })).status).toBe(201);
    const destination = `${server.url}folder/b.txt`;
    expect((await fetch(url, { method: "COPY", headers: { destination } })).ok).toBe(true);
    expect((await fetch(url, { method: "MOVE", headers: { destination: `${server.url}c.txt` } })).ok).toBe(true);
    expect(await (await fetch(destination)).text()).toBe("text");
    const listing = await fetch(server.url, { method: "PROPFIND", headers: { depth: "1" } });
    expect([listing.status, await listing.text()]).toEqual([207, expect.stringContaining("c.txt")]);
    expect((await fetch(destination, { method: "LOCK", body: LOCK_BODY })).status).toBe(200);
    expect((await fetch(destination, { method: "PUT", body: "new" })).status).toBe(423);
  });

  test("asks for credentials, and serves a folder that it shares", async () => {
    const root = await mkdtemp(join(tmpdir(), "davpool-root-"));
    try {
      await using server = await start({ root, auth: { username: "alice", password: "wonder land" } });
      await writeFile(join(root, "a.txt"), "text");
      const authorization = `Basic ${btoa("alice:wonder land")}`;
      expect((await fetch(`${server.url}a.txt`)).status).toBe(401);
      expect(await (await fetch(`${server.url}a.txt`, { headers: { authorization } })).text()).toBe("text");
    } finally {
      await rm(root, { recursive: true });
    }
  });

  test("comes back on the same port after it has been killed", async () => {
    await using server = await start();
    for (const signal of ["SIGKILL", "SIGTERM"] as const) {
      await server.kill(signal);
      await server.kill(signal);
      await expect(fetch(server.url)).rejects.toMatchObject({ cause: { code: "ECONNREFUSED" } });
      await server.start();
      expect((await fetch(`${server.url}missing`)).status).toBe(404);
    }
  });

  test("answers nobody while it is paused, and everybody afterwards", async () => {
    await using server = await start();
    await fetch(`${server.url}a.txt`, { method: "PUT", body: "text" });
    await server.pause();
    const waiting = Array.from({ length: 4 }, async () => (await fetch(`${server.url}a.txt`)).text());
    const answered = Promise.race(waiting);
    // The kernel has accepted them, and a server that ran would have had all this time to answer.
    await server.pause();
    await expect(Promise.race([answered, Promise.resolve("nobody")])).resolves.toBe("nobody");
    await server.resume();
    expect(await Promise.all(waiting)).toEqual(["text", "text", "text", "text"]);
  });

  test.each(["SIGKILL", "SIGTERM"] as const)("dies of %s and starts again although it is paused", async (signal) => {
    await using server = await start();
    await server.pause();
    await server.kill(signal);
    await server.pause();
    await server.resume();
    await server.start();
    expect((await fetch(`${server.url}missing`)).status).toBe(404);
    // And is disposed of like this.
    await server.pause();
  });
}

describe("a program that is missing", () => {
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  test("skips tests, except on a CI machine", () => {
    vi.stubEnv("CI", "");
    expect([missingProgram("no-such-program"), missingProgram("sh")]).toEqual([true, false]);
    vi.stubEnv("CI", "true");
    expect(() => missingProgram("no-such-program")).toThrow(/no-such-program is not installed.*apt-get install/);
  });
});
