import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createFaultProxy } from "@davpool/testkit";
import { missingProgram, startApache } from "@davpool/testkit/real-servers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MultistatusScan } from "./multistatus.ts";
import { openPool } from "./testing/pool.test-support.ts";
import type { WebDavRequest } from "./wire.ts";

interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly text: string;
}

type Ask = (
  method: string,
  path: string,
  headers?: Readonly<Record<string, string>>,
  body?: WebDavRequest["body"],
) => Promise<Reply>;

/** Speaks to one server through a pool, as a program would. */
async function through(
  url: string,
  use: (ask: Ask) => Promise<void>,
  credentials: Readonly<Record<string, string>> = {},
): Promise<void> {
  const servers = [{ serverId: "real", url, timeout: 20_000, ...credentials }];
  await using open = await openPool([], { servers });
  await use(async (method, path, headers = {}, body) => {
    const request = { method, path, headers, ...(body !== undefined && { body }) };
    const { value } = await open.pool.execute(request, {
      consume: async (response) => ({
        status: response.status,
        headers: response.headers,
        text: await response.body.text(),
      }),
    });
    return value;
  });
}

const LOCKINFO = `<?xml version="1.0"?><lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>`;
const NAME = "/folder/grün 100% ?#&.txt".replace("%", "%25");

/** What every server does that davpool is for. */
async function basics(ask: Ask): Promise<void> {
  expect((await ask("MKCOL", "/folder/")).status).toBe(201);
  expect((await ask("PUT", NAME, {}, "some text")).status).toBe(201);
  expect(await ask("GET", NAME)).toMatchObject({ status: 200, text: "some text" });
  expect((await ask("HEAD", NAME)).headers["content-length"]).toBe("9");

  const large = Buffer.alloc(1_000_000, "0123456789");
  expect((await ask("PUT", "/folder/large", {}, large)).status).toBe(201);
  expect((await ask("GET", "/folder/large")).text).toBe(large.toString());
  expect(await ask("GET", "/folder/large", { Range: "bytes=10-14" })).toMatchObject({ status: 206, text: "01234" });
  async function* stream(): AsyncGenerator<Uint8Array> {
    yield Buffer.from("streamed ");
    yield Buffer.from("text");
  }
  expect((await ask("PUT", "/folder/streamed", {}, stream)).status).toBe(201);
  expect((await ask("GET", "/folder/streamed")).text).toBe("streamed text");

  const listed = await ask("PROPFIND", "/folder/", { Depth: "1" });
  expect(listed.status).toBe(207);
  expect(listed.text.match(/<(?:\w+:)?href>/g)).toHaveLength(4);
  const scan = new MultistatusScan(false);
  scan.write(Buffer.from(listed.text));
  scan.close();
  expect(scan.failures).toEqual([]);

  expect((await ask("MOVE", NAME, { Destination: "/folder/größer.txt" })).status).toBeOneOf([201, 204]);
  expect((await ask("COPY", "/folder/größer.txt", { Destination: "folder/copy.txt" })).status).toBeOneOf([201, 204]);
  expect((await ask("GET", "/folder/copy.txt")).text).toBe("some text");
  expect((await ask("GET", NAME)).status).toBe(404);
  expect((await ask("DELETE", "/folder/")).status).toBe(204);
  expect((await ask("PROPFIND", "/folder/", { Depth: "0" })).status).toBe(404);
}

/** A lock with its token as servers give it, and bare. */
async function locks(ask: Ask): Promise<void> {
  await ask("PUT", "/locked.txt", {}, "text");
  const headers = { Timeout: "Second-60", Depth: "0", "Content-Type": "application/xml" };
  const granted = await ask("LOCK", "/locked.txt", headers, LOCKINFO);
  expect(granted.status).toBe(200);
  const token = String(granted.headers["lock-token"]);
  expect((await ask("PUT", "/locked.txt", {}, "other")).status).toBe(423);
  for (const If of [token, token.replace(/^<|>$/g, ""), `(${token})`])
    expect((await ask("PUT", "/locked.txt", { If }, "mine")).status).toBe(204);
  expect((await ask("UNLOCK", "/locked.txt", { "Lock-Token": token.replace(/^<|>$/g, "") })).status).toBe(204);
  expect((await ask("PUT", "/locked.txt", {}, "free")).status).toBe(204);
}

/**
 * A download whose connection breaks twice.
 * @returns how often it was resumed.
 */
async function resumes(url: string, root: string, credentials: Readonly<Record<string, string>> = {}): Promise<number> {
  const content = Buffer.from(Array.from({ length: 400_000 }, (_, at) => String(at)).join(" "));
  await using proxy = await createFaultProxy({ target: url });
  const profile = { serverId: "real", url: proxy.url, timeout: 20_000, retryAttempts: 2, ...credentials };
  await using open = await openPool([], { servers: [profile] });
  const put = await open.pool.execute({ method: "PUT", path: "/download", body: content });
  put.value.body.discard();
  // A file that has only just been written may have a weak tag.
  utimesSync(join(root, "download"), 1_000_000_000, 1_000_000_000);
  await proxy.inject({ kind: "reset", afterBytes: 900_000, times: 2 });
  const { value, attempts } = await open.pool.execute({ method: "GET", path: "/download" });
  expect(value.status).toBe(200);
  const { bytes } = await value.body.read();
  expect(content.equals(bytes)).toBe(true);
  return attempts.length - 1;
}

describe.skipIf(missingProgram("apache2"))("Apache", () => {
  let server: Awaited<ReturnType<typeof startApache>>;
  beforeAll(async () => {
    server = await startApache({ auth: { username: "alice", password: "pass" } });
  });
  afterAll(() => server[Symbol.asyncDispose]());
  const apache = (use: (ask: Ask) => Promise<void>) =>
    through(server.url, use, { username: "alice", password: "pass" });

  test("stores, lists, moves and copies", () => apache(basics));
  test("locks", () => apache(locks));
  test("resumes downloads", async () => {
    expect(await resumes(server.url, server.root, { username: "alice", password: "pass" })).toBe(2);
  });

  test("says 401 to the wrong password, and that is an answer", async () => {
    await through(server.url, async (ask) => expect((await ask("PROPFIND", "/", { Depth: "0" })).status).toBe(401), {
      username: "alice",
      password: "wrong",
    });
  });

  test("redirects from a collection without its slash, which is followed where it is safe", () =>
    apache(async (ask) => {
      await ask("MKCOL", "/sub folder/");
      await ask("PUT", "/sub folder/a", {}, "text");
      expect((await ask("PROPFIND", "/sub folder", { Depth: "1" })).text).toContain("/dav/sub%20folder/a");
      // mod_dav answers these itself.
      expect((await ask("DELETE", "/sub folder")).status).toBeOneOf([204, 301]);
    }));

  test("gives a weak tag to a fresh file, which If-Match does not accept and the pool still knows", () =>
    apache(async (ask) => {
      const { headers } = await ask("PUT", "/fresh", {}, "text");
      const tag = String(headers.etag ?? (await ask("GET", "/fresh")).headers.etag);
      const { status } = await ask("PUT", "/fresh", { "If-Match": tag }, "new");
      expect(status).toBe(tag.startsWith("W/") ? 412 : 204);
      expect((await ask("PUT", "/fresh", { "If-Match": '"wrong"' }, "new")).status).toBe(412);
    }));

  test("hides the failure of a property in a 207", () =>
    apache(async (ask) => {
      await ask("PUT", "/props", {}, "text");
      const patch = `<propertyupdate xmlns="DAV:"><set><prop><getetag>mine</getetag></prop></set></propertyupdate>`;
      const { status, text } = await ask("PROPPATCH", "/props", { "Content-Type": "application/xml" }, patch);
      expect(status).toBe(207);
      const scan = new MultistatusScan(true);
      scan.write(Buffer.from(text));
      scan.close();
      expect(scan.failures).toEqual([{ href: "/dav/props", status: 409 }]);
    }));

  test("has two servers' locks told apart", async () => {
    await using second = await startApache({ auth: { username: "alice", password: "pass" } });
    const servers = [server, second].map(({ url }, index) => ({
      serverId: `s${index}`,
      url,
      timeout: 20_000,
      username: "alice",
      password: "pass",
    }));
    await using open = await openPool([], { servers });
    const headers = { "Content-Type": "application/xml" };
    const lock = { method: "LOCK", path: "/owned", headers, body: LOCKINFO };
    const granted = await open.pool.execute(lock, { serverId: "s1" });
    granted.value.body.discard();
    const If = String(granted.value.headers["lock-token"]);
    const put = await open.pool.execute({ method: "PUT", path: "/owned", headers: { If }, body: "mine" });
    put.value.body.discard();
    // Apache makes the file that a lock holds the name of only now.
    expect([put.serverId, put.value.status]).toEqual(["s1", 201]);
  });
});

const NGINX_DAV = "/usr/lib/nginx/modules/ngx_http_dav_ext_module.so";
describe.skipIf(missingProgram("nginx") || !existsSync(NGINX_DAV))("nginx", () => {
  test("stores, lists, moves and copies, locks, and resumes downloads", async () => {
    await running(
      (folder, port) => {
        writeFileSync(
          join(folder, "nginx.conf"),
          `load_module ${NGINX_DAV};
daemon off; master_process off; pid ${folder}/pid; error_log ${folder}/error.log;
events {}
http {
  access_log off; client_body_temp_path ${folder}/tmp; proxy_temp_path ${folder}/tmp;
  fastcgi_temp_path ${folder}/tmp; uwsgi_temp_path ${folder}/tmp; scgi_temp_path ${folder}/tmp;
  dav_ext_lock_zone zone=locks:1m;
  server {
    listen 127.0.0.1:${port};
    location /dav/ {
      alias ${folder}/root/; client_max_body_size 0;
      dav_methods PUT DELETE MKCOL COPY MOVE; dav_ext_methods PROPFIND OPTIONS LOCK UNLOCK; dav_ext_lock zone=locks;
    }
  }
}`,
        );
        return ["/usr/sbin/nginx", "-c", join(folder, "nginx.conf"), "-p", folder];
      },
      async (url, root) => {
        await through(url, basics);
        await through(url, locks);
        expect(await resumes(url, root)).toBe(2);
      },
    );
  });
});

const LIGHTTPD_DAV = "/usr/lib/lighttpd/mod_webdav.so";
describe.skipIf(missingProgram("lighttpd") || !existsSync(LIGHTTPD_DAV))("lighttpd", () => {
  test("stores, lists, moves and copies, and locks", async () => {
    await running(
      (folder, port) => {
        writeFileSync(
          join(folder, "lighttpd.conf"),
          `server.modules = ("mod_alias", "mod_webdav")
server.document-root = "${folder}/root"
server.bind = "127.0.0.1"
server.port = ${port}
server.errorlog = "${folder}/error.log"
server.upload-dirs = ("${folder}/tmp")
alias.url = ("/dav/" => "${folder}/root/")
$HTTP["url"] =~ "^/dav/" {
  webdav.activate = "enable"
  webdav.is-readonly = "disable"
  webdav.sqlite-db-name = "${folder}/locks.db"
}
`,
        );
        return ["/usr/sbin/lighttpd", "-D", "-f", join(folder, "lighttpd.conf")];
      },
      async (url) => {
        await through(url, basics);
        await through(url, locks);
      },
    );
  });
});

describe.skipIf(missingProgram("rclone"))("rclone", () => {
  test("stores, lists, moves and copies, and resumes downloads", async () => {
    await running(
      (folder, port) =>
        ["rclone", "serve", "webdav", join(folder, "root"), "--addr", `127.0.0.1:${port}`, "--baseurl", "/dav"].concat([
          "--user",
          "alice",
          "--pass",
          "pass",
        ]),
      async (url, root) => {
        await through(url, basics, { username: "alice", password: "pass" });
        expect(await resumes(url, root, { username: "alice", password: "pass" })).toBe(2);
      },
    );
  });
});

/** Runs a server program on a free port, with an empty folder `root` to serve at `/dav/`. */
async function running(
  prepare: (folder: string, port: number) => readonly string[],
  use: (url: string, root: string) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "davpool-real-"));
  chmodSync(folder, 0o755);
  for (const name of ["root", "tmp"]) {
    mkdirSync(join(folder, name));
    // Servers that are started as root may give that up.
    chmodSync(join(folder, name), 0o777);
  }
  const reserved = createServer().listen(0, "127.0.0.1");
  await once(reserved, "listening");
  const { port } = reserved.address() as AddressInfo;
  reserved.close();
  const [program = "", ...parameters] = prepare(folder, port);
  const child = spawn(program, parameters, { stdio: ["ignore", "ignore", "pipe"] });
  let complaints = "";
  child.stderr.on("data", (chunk) => (complaints += String(chunk)));
  const url = `http://127.0.0.1:${port}/dav/`;
  try {
    // Each attempt is a connection that is refused; the loop ends with the program or its first answer.
    while (child.exitCode === null && !(await answers(url))) continue;
    if (child.exitCode !== null) throw new Error(`${program} did not start:\n${complaints}`);
    await use(url, join(folder, "root"));
  } finally {
    const ended = child.exitCode === null ? once(child, "exit") : undefined;
    child.kill("SIGKILL");
    await ended;
    rmSync(folder, { recursive: true, force: true });
  }
}

async function answers(url: string): Promise<boolean> {
  try {
    await (await fetch(url)).text();
    return true;
  } catch {
    return false;
  }
}
