import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createWebDavServer, type WebDavServer } from "@davpool/testkit";
import { describe, expect, test } from "vitest";
import { EXIT, runCli, type Screen } from "../cli.ts";
import { temporaryFolder } from "../testing/davpool-process.test-support.ts";
import type { StatusReport } from "./report.ts";

interface Run {
  readonly code: number;
  readonly out: string;
  readonly error: string;
}

interface Setting extends AsyncDisposable {
  readonly folder: string;
  /** Runs `davpool status` here. */
  status(
    parameters?: readonly string[],
    screen?: Screen,
    stop?: AbortSignal,
    written?: (out: string) => void,
  ): Promise<Run>;
  json(): Promise<StatusReport>;
}

/** A folder with a configuration, and with files that davpool has left there before. */
async function setting(pools: object, stored: { state?: object; health?: object } = {}): Promise<Setting> {
  const folder = await temporaryFolder();
  const file = join(folder.path, "davpool.config.json");
  const store = { type: "file", path: "./kept/servers.json" };
  const kept = (name: string) => join(folder.path, "kept", name);
  await writeFile(file, JSON.stringify({ store, pools, security: { allowHosts: ["127.0.0.1"] } }));
  await mkdir(kept(""));
  if (stored.state) await writeFile(kept("servers.json"), JSON.stringify(stored.state));
  if (stored.health) await writeFile(kept("servers.health.json"), JSON.stringify(stored.health));
  const status: Setting["status"] = async (parameters = [], screen, stop, written) => {
    let [out, error] = ["", ""];
    const terminal = {
      out: (text: string) => {
        out += text;
        written?.(out);
      },
      error: (text: string) => void (error += text),
      ...(screen && { screen }),
    };
    const signal = stop ?? new AbortController().signal;
    const code = await runCli(["status", "--config", file, ...parameters], terminal, signal);
    return { code, out, error };
  };
  return {
    folder: folder.path,
    status,
    json: async () => JSON.parse((await status(["--json"])).out) as StatusReport,
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

/** A server that is not there any more. */
async function stopped(): Promise<WebDavServer> {
  const server = await createWebDavServer();
  await server.stop();
  return server;
}

/** Times differ from run to run, and so do ports. */
function steady(out: string): string {
  return out
    .replaceAll(/ +[\d.]+ ms(?=  )/g, (found) => "? ms".padStart(found.length))
    .replaceAll(/127\.0\.0\.1:\d+/g, "127.0.0.1:PORT");
}

async function filesBelow(folder: string): Promise<Record<string, string>> {
  const names = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = names.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Object.fromEntries(await Promise.all(files.map(async (name) => [name, await readFile(name, "utf8")])));
}

const snapshot = (status: string, uptime: number) => ({
  status,
  lastCheck: "2026-03-01T02:14:07.000Z",
  responseTime: 12,
  uptime,
  consecutiveFailures: 0,
  consecutiveSuccesses: 5,
});

const counters = { total: 1204, successful: 1201, failed: 3, failoverCount: 12, responseTimeSum: 41_074.2 };

describe("davpool status", () => {
  test("shows every server with a check made now, and what was recorded; and writes nothing", async () => {
    await using well = await createWebDavServer();
    await using back = await createWebDavServer();
    await using failing = await createWebDavServer();
    await failing.inject({ kind: "status", status: 500 });
    await using gone = await stopped();
    await using here = await setting(
      {
        files: {
          transport: "webdav",
          // Switched off for those that serve the pool, and not for whoever asks now.
          health: { enabled: false },
          servers: [
            { serverId: "eu", url: gone.url, group: "primary" },
            { serverId: "us", url: failing.url, group: "primary", healthCheckInterval: 0 },
            { serverId: "ap", url: well.url, priority: 2, group: "backup" },
            { serverId: "old", url: gone.url, enabled: false },
          ],
        },
      },
      {
        state: {
          version: 1,
          activeServerId: "eu",
          servers: [{ serverId: "extra", url: back.url, priority: 3, healthCheckInterval: 0 }],
        },
        health: {
          version: 1,
          servers: { eu: snapshot("healthy", 99.97), extra: snapshot("unhealthy", 42.5) },
          counters,
        },
      },
    );
    const before = await filesBelow(here.folder);
    const { code, out, error } = await here.status();
    expect(steady(out)).toBe(
      `POOL     SERVER  TIER  GROUP    HEALTH     LATENCY  UPTIME  SOCKETS  ORIGIN    PROBLEM
files    eu         1  primary  unhealthy        -  99.9 %  0 of 10  declared  connect ECONNREFUSED 127.0.0.1:PORT
files    us         1  primary  unhealthy        -       -  1 of 10  declared  it answered the health check with 500
files  * ap         2  backup   healthy       ? ms       -  1 of 10  declared
files    old        1  -        disabled         -       -  0 of 10  declared
files    extra      3  -        healthy       ? ms  42.5 %  1 of 10  added     answers again; recorded as unhealthy at 2026-03-01T02:14:07.000Z

POOL   USABLE  ACTIVE  REQUESTS  FAILED  FAILOVERS  AVERAGE
files  2 of 5  eu          1204       3         12    34 ms

* is preferred now. Health, latency and sockets are those of a check made just now; uptime and requests, what davpool serve last recorded.
`,
    );
    expect({ code, error }).toEqual({ code: EXIT.ok, error: "" });
    expect(await filesBelow(here.folder)).toEqual(before);
    for (const server of [well, back, failing])
      expect(server.requests.map(({ method }) => method)).toEqual(["OPTIONS"]);
  });

  test("ends with 4 when a pool has no usable server, whatever the others have", async () => {
    await using well = await createWebDavServer();
    await using gone = await stopped();
    await using here = await setting({
      files: { transport: "webdav", servers: [{ serverId: "eu", url: well.url }] },
      media: { transport: "webdav", servers: [{ serverId: "eu", url: gone.url }] },
    });
    const { code, out } = await here.status();
    expect(code).toBe(4);
    expect(steady(out)).toBe(
      `POOL     SERVER  TIER  GROUP  HEALTH     LATENCY  UPTIME  SOCKETS  ORIGIN    PROBLEM
files  * eu         1  -      healthy       ? ms       -  1 of 10  declared
media    eu         1  -      unhealthy        -       -  0 of 10  declared  connect ECONNREFUSED 127.0.0.1:PORT

POOL   USABLE  ACTIVE  REQUESTS  FAILED  FAILOVERS  AVERAGE
files  1 of 1  -              0       0          0        -
media  0 of 1  -              0       0          0        -

Pool media has no usable server.
All servers of pool "media" are down: eu.

* is preferred now. Health, latency and sockets are those of a check made just now; uptime and requests, what davpool serve last recorded.
`,
    );
    expect(await filesBelow(join(here.folder, "kept"))).toEqual({});
  });

  test("shows a pool without servers, which is not usable", async () => {
    await using here = await setting({ files: { transport: "webdav" } });
    const { code, out } = await here.status();
    expect(code).toBe(EXIT.unusable);
    expect(out).toContain("files  0 of 0");
    expect(out).toContain("Pool files has no usable server.");
  });

  test("a server that is slow, or does not answer, is shown as what it is", async () => {
    await using slow = await createWebDavServer();
    await using silent = await createWebDavServer();
    await using fault = await silent.inject({ kind: "blackhole" });
    await using here = await setting({
      files: {
        transport: "webdav",
        health: { timeout: "200ms" },
        probe: { type: "ping", slow: 0 },
        servers: [
          { serverId: "slow", url: slow.url },
          { serverId: "silent", url: silent.url },
        ],
      },
    });
    const { pools } = await here.json();
    expect(fault.hits).toBe(1);
    expect(pools[0]?.usable).toBe(true);
    expect(pools[0]?.servers).toMatchObject([
      { health: "degraded", problem: expect.stringMatching(/^it took \d+ ms to answer/) as string },
      { health: "unhealthy", problem: "no answer to the health check within 200 ms" },
    ]);
  });

  test("says which stored server cannot be used", async () => {
    await using well = await createWebDavServer();
    await using here = await setting(
      { files: { transport: "webdav", servers: [{ serverId: "eu", url: well.url }] } },
      { state: { version: 1, servers: [{ serverId: "extra" }] } },
    );
    const { code, out } = await here.status();
    expect(out).toContain('Stored server "extra" is left out');
    expect(code).toBe(EXIT.ok);
  });

  test("ends with 1 when the configuration is wrong", async () => {
    await using here = await setting({});
    const { code, out, error } = await here.status();
    expect({ code, out }).toEqual({ code: EXIT.configuration, out: "" });
    expect(error).toContain("pools: is empty");
  });
});

describe("davpool status --json", () => {
  test("prints everything as one document, without secrets", async () => {
    await using well = await createWebDavServer({ auth: { username: "alice", password: "planted" } });
    await using here = await setting(
      {
        files: {
          transport: "webdav",
          strategy: "weighted",
          servers: [{ serverId: "eu", url: well.url, username: "alice", password: "planted", group: "primary" }],
        },
      },
      { health: { version: 1, servers: { eu: snapshot("healthy", 100) }, counters } },
    );
    const { code, out } = await here.status(["--json"]);
    expect(code).toBe(EXIT.ok);
    expect(out).not.toContain("planted");
    const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/) as string;
    expect(JSON.parse(out)).toEqual({
      at: time,
      file: join(here.folder, "davpool.config.json"),
      usable: true,
      pools: [
        {
          name: "files",
          transport: "webdav",
          strategy: "weighted",
          usable: true,
          activeServerId: null,
          preferredServerId: "eu",
          requests: { total: 1204, successful: 1201, failed: 3, failoverCount: 12, averageResponseTime: 34.2 },
          servers: [
            {
              serverId: "eu",
              url: well.url,
              priority: 1,
              group: "primary",
              origin: "declared",
              enabled: true,
              health: "healthy",
              checkedAt: time,
              latency: expect.any(Number) as number,
              connections: { active: 0, idle: 1, max: 10 },
              recorded: snapshot("healthy", 100),
            },
          ],
        },
      ],
      errors: [],
    });
  });
});

describe("davpool status --watch", () => {
  test("with --json prints a document a line, sees what changes, and ends when it is stopped", async () => {
    await using server = await createWebDavServer();
    await using here = await setting({
      files: { transport: "webdav", servers: [{ serverId: "eu", url: server.url }] },
    });
    const stop = new AbortController();
    let acted = false;
    const { code, out } = await here.status(
      ["--watch", "--json", "--interval", "100ms"],
      undefined,
      stop.signal,
      (text) => {
        const reports = text
          .trim()
          .split("\n")
          .map((line) => JSON.parse(line) as StatusReport);
        if (!acted) void server.inject({ kind: "status", status: 503 });
        acted = true;
        if (reports.at(-1)?.usable === false) stop.abort();
      },
    );
    const usable = out
      .trimEnd()
      .split("\n")
      .map((line) => (JSON.parse(line) as StatusReport).usable);
    expect([usable[0], usable.at(-1)]).toEqual([true, false]);
    expect(code).toBe(EXIT.unusable);
  });

  test("draws over what it drew before on a screen, and nowhere else", async () => {
    await using server = await createWebDavServer();
    await using here = await setting({
      files: { transport: "webdav", servers: [{ serverId: "eu", url: server.url }] },
    });
    const twice = async (screen?: Screen) => {
      const stop = new AbortController();
      const look = (text: string) => {
        if (text.split("is preferred now").length > 2) stop.abort();
      };
      return here.status(["--watch", "--interval", "100ms"], screen, stop.signal, look);
    };
    const drawn = await twice({ columns: 200, colours: false });
    expect(drawn.code).toBe(EXIT.ok);
    expect(drawn.out.split("\u001b[H")).toHaveLength(3);
    expect(drawn.out).toContain("PROBLEM\u001b[K\n");
    expect(drawn.out.endsWith("\u001b[J")).toBe(true);
    const listed = await twice();
    expect(listed.out).not.toContain("\u001b");
    expect(listed.out.match(/^\d{4}-\d\d-\d\dT\S+Z$/gm)).toHaveLength(2);
  });

  test("that is stopped before there is anything to show shows nothing", async () => {
    await using here = await setting({ files: { transport: "webdav" } });
    const run = await here.status(["--watch"], undefined, AbortSignal.abort());
    expect(run).toEqual({ code: EXIT.unusable, out: "", error: "" });
  });

  test.each(["soon", "5", "0s", "-1s", "50ms"])("refuses the interval %s", async (interval) => {
    await using here = await setting({ files: { transport: "webdav" } });
    const { code, error } = await here.status(["--watch", `--interval=${interval}`]);
    expect(code).toBe(EXIT.usage);
    expect(error).toMatch(/It must be/);
  });
});

describe("on a screen", () => {
  test("health has colours where they are wanted, and no line is longer than the screen", async () => {
    await using well = await createWebDavServer();
    await using gone = await stopped();
    await using here = await setting({
      files: {
        transport: "webdav",
        servers: [
          { serverId: "eu", url: well.url },
          { serverId: "us", url: gone.url },
        ],
      },
    });
    const coloured = await here.status([], { columns: 200, colours: true });
    expect(coloured.out).toContain("\u001b[32mhealthy");
    expect(coloured.out).toContain("\u001b[31munhealthy");
    const plain = await here.status([], { columns: 80, colours: false });
    expect(plain.out).not.toContain("\u001b");
    expect(Math.max(...plain.out.split("\n").map((line) => line.length))).toBeLessThanOrEqual(80);
    expect(plain.out).toContain("…");
  });
});
