import { fileURLToPath } from "node:url";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ProfileStore } from "../contracts/profile-store.ts";
import { definePlugin } from "../plugin/define-plugin.ts";
import { corePlugins } from "../plugin/core-plugins.ts";
import { defineConfig, named } from "../config/define-config.ts";
import { resolveConfig } from "../config/resolve-config.ts";
import { isDavpoolError } from "../errors/davpool-error.ts";
import { GET, POST, flush, openBench, scriptedPlugin, type BenchOptions } from "../testing/pool-bench.test-support.ts";
import { aborted, answer, stream, type FlowingBody } from "../testing/scripted-transport.test-support.ts";
import { memoryAffinity } from "./affinity-memory.ts";
import { principalCredentials, type PrincipalSettings } from "./principal-credentials.ts";
import type { PrincipalEntry } from "./principal-options.ts";

const here = fileURLToPath(new URL(".", import.meta.url));
const signal = new AbortController().signal;

function source(
  principals: Readonly<Record<string, PrincipalEntry>>,
  otherwise: PrincipalSettings["otherwise"] = "deny",
  environment: Record<string, string> = {},
  baseDirectory = here,
) {
  return principalCredentials({ pool: "files", principals, otherwise }, { environment, baseDirectory });
}

const server = (serverId: string, fields: object = {}) => ({ serverId, ...fields }) as never;

async function failure(promise: Promise<unknown> | (() => unknown)): Promise<{ code: string; message: string }> {
  try {
    await (typeof promise === "function" ? promise() : promise);
  } catch (error) {
    if (isDavpoolError(error)) return error;
    throw error;
  }
  throw new Error("it did not fail");
}

describe("credentials of principals", () => {
  test("are each one's own, for all servers or for single ones", async () => {
    const { credentials } = source(
      {
        alice: { username: "a", password: { env: "ALICE" }, servers: { us: { token: "t" } } },
        bob: { servers: { eu: { username: "b" }, us: { username: "c" } } },
      },
      "deny",
      { ALICE: "pw" },
    );
    const find = (serverId: string, who: string) => credentials(server(serverId), who, signal, "declared");
    expect(await find("eu", "alice")).toEqual({ username: "a", password: "pw" });
    expect(await find("us", "alice")).toEqual({ token: "t" });
    expect(await find("eu", "bob")).toEqual({ username: "b" });
    expect(await find("us", "bob")).toEqual({ username: "c" });
  });

  test("have a partition each, also where two have the same ones", () => {
    const same = { username: "team", password: "pw" };
    const { partition } = source({ alice: same, bob: same });
    expect(["alice", "bob"].map((who) => partition?.(server("eu"), who, "declared"))).toEqual(["alice", "bob"]);
  });

  test("are refused to whoever is not named, and to nobody", async () => {
    const { partition, credentials } = source({ alice: { username: "a" } });
    expect(await failure(() => partition?.(server("eu"), "mallory", "declared"))).toMatchObject({
      code: "NO_CREDENTIALS",
      message:
        'Principal "mallory" has no credentials for server "eu" of pool "files", and nothing was sent. Add it to pools.files.credentials.principals, or set credentials.otherwise to "profile" to let it use the credentials that the server\'s profile has.',
      details: { pool: "files", serverId: "eu", principal: "mallory" },
    });
    expect((await failure(() => partition?.(server("eu"), undefined, "declared"))).message).toMatch(
      /^A caller without a principal has no credentials .* Call on behalf of a principal, or set/,
    );
    expect((await failure(credentials(server("eu"), "mallory", signal, "declared"))).code).toBe("NO_CREDENTIALS");
  });

  test.each(["constructor", "__proto__", "toString", "", "Alice", "alice "])("are not found for %j", async (who) => {
    const { partition } = source({ alice: { username: "a" } });
    expect((await failure(() => partition?.(server("eu"), who, "declared"))).code).toBe("NO_CREDENTIALS");
  });

  test("are the server's own for the others where that is configured", async () => {
    const { partition, credentials } = source({ alice: { username: "a" } }, "profile");
    expect(partition?.(server("eu"), "mallory", "declared")).toBe("");
    expect(partition?.(server("eu"), undefined, "declared")).toBe("");
    const profile = server("eu", { username: "shared", password: "pw" });
    expect(await credentials(profile, undefined, signal, "declared")).toEqual({ username: "shared", password: "pw" });
  });

  test("are never replaced by the server's own for somebody who is named", async () => {
    const { partition } = source({ alice: { servers: { eu: { username: "a" } } } }, "profile");
    expect(await failure(() => partition?.(server("us"), "alice", "declared"))).toMatchObject({
      code: "NO_CREDENTIALS",
      message: expect.stringMatching(/Add them to pools\.files\.credentials\.principals\.alice\.$/) as string,
    });
  });

  test("do not go to servers that were added at run time, which have their own", async () => {
    const alice = { username: "a", password: "hunter2", servers: { x: { token: "hunter3" } } };
    const { partition, credentials } = source({ alice });
    expect(partition?.(server("x"), "alice", "added")).toBe("");
    for (const who of ["alice", undefined])
      expect(await credentials(server("x", { username: "theirs" }), who, signal, "added")).toEqual({
        username: "theirs",
      });
    expect((await failure(() => partition?.(server("x"), "mallory", "added"))).code).toBe("NO_CREDENTIALS");
    expect(source({ alice }, "profile").partition?.(server("x"), "mallory", "added")).toBe("");
  });

  test("of an unusual name are told on one line", async () => {
    const { partition } = source({});
    const { message } = await failure(() => partition?.(server("eu"), `x\nERROR ${"y".repeat(5_000)}`, "declared"));
    expect(message).not.toContain("\n");
    expect(message.length).toBeLessThan(600);
  });

  test("that cannot be read name their place and are looked for again the next time", async () => {
    const directory = await mkdtemp(join(tmpdir(), "davpool-"));
    try {
      const { credentials } = source({ alice: { token: { file: "alice" } } }, "deny", {}, directory);
      const find = () => credentials(server("eu"), "alice", signal, "declared");
      const { code, message } = await failure(find());
      expect(code).toBe("NO_CREDENTIALS");
      expect(message).toContain(`The secret from file ${join(directory, "alice")} cannot be read: ENOENT.`);
      await writeFile(join(directory, "alice"), "secret\n");
      expect(await find()).toEqual({ token: "secret" });
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  test("are found for exactly those who are named", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.string()), fc.array(fc.string()), (named, callers) => {
        const { partition } = source(Object.fromEntries(named.map((name) => [name, { username: "u" }])), "profile");
        for (const who of [...named, ...callers])
          expect(partition?.(server("eu"), who, "declared")).toBe(named.includes(who) ? who : "");
      }),
    );
  });
});

describe("a pool whose principals have credentials", () => {
  const principals = { alice: { username: "a", token: "ta" }, bob: { username: "b", token: { env: "BOB" } } };

  function open(options: BenchOptions = {}, otherwise: PrincipalSettings["otherwise"] = "deny") {
    const environment: Record<string, string> = {};
    const credentials = source(principals, otherwise, environment);
    return openBench({ servers: ["a", "b"], credentials, ...options }).then((bench) => ({ ...bench, environment }));
  }
  const as = (principal: string) => ({ caller: { principal } });

  test("asks each server on connections of their own", async () => {
    const bench = await open({ servers: ["a"] });
    bench.environment.BOB = "tb";
    for (const who of ["alice", "bob", "alice", "bob"]) await bench.pool.execute(GET, as(who));
    expect(bench.transport.inits.map(({ credentials, partition }) => [credentials?.token, partition])).toEqual([
      ["ta", ""],
      ["tb", ""],
    ]);
  });

  test("refuses others before anything is sent, asks no other server, and blames none", async () => {
    const bench = await open();
    for (let call = 0; call < 10; call++)
      for (const options of [as("mallory"), {}])
        expect((await failure(bench.pool.execute(GET, options))).code).toBe("NO_CREDENTIALS");
    expect([bench.sent(), bench.server("a").opened, bench.names()]).toEqual(["a:0 b:0", 0, []]);
    expect(bench.pool.list().map(({ health }) => health.status)).toEqual(["healthy", "healthy"]);
    expect([bench.slots(), bench.pool.stats().requestStats.failed]).toEqual([0, 0]);
    expect(JSON.stringify(bench.lines)).not.toContain("mallory");
  });

  test("refuses them also where the server's own connection is open", async () => {
    const bench = await open({ servers: [{ serverId: "a", healthCheckInterval: 1 }], health: { enabled: true } });
    await bench.advance(50);
    expect(bench.server("a").probes).toBeGreaterThan(0);
    expect((await failure(bench.pool.execute(GET, as("mallory")))).code).toBe("NO_CREDENTIALS");
    expect((await failure(bench.pool.execute(GET))).code).toBe("NO_CREDENTIALS");
    expect(bench.server("a").sent).toEqual([]);
  });

  test("checks health with the server's own credentials", async () => {
    const bench = await open({
      servers: [{ serverId: "a", healthCheckInterval: 1, password: "own" }],
      health: { enabled: true },
    });
    await bench.advance(50);
    expect(bench.transport.inits.map(({ credentials }) => credentials)).toEqual([{ password: "own" }]);
    await bench.pool.execute(GET, as("alice"));
    expect(bench.transport.inits).toHaveLength(2);
  });

  test("lets the others share the server's own where that is configured", async () => {
    const bench = await open({ servers: [{ serverId: "a", password: "own" }] }, "profile");
    await bench.pool.execute(GET, as("mallory"));
    await bench.pool.execute(GET, as("eve"));
    await bench.pool.execute(GET);
    expect(bench.transport.inits.map(({ credentials }) => credentials)).toEqual([{ password: "own" }]);
  });

  test("tells of a secret that cannot be read, spends no retry on it, and tries it again", async () => {
    const bench = await open();
    for (let call = 0; call < 100; call++) {
      const { code, message } = await failure(bench.pool.execute(GET, as("bob")));
      expect([code, message]).toEqual([
        "NO_CREDENTIALS",
        'Principal "bob" has no credentials for server "a" of pool "files", and nothing was sent. The secret from environment variable BOB cannot be read: it is not set.',
      ]);
    }
    expect(bench.pool.list().map(({ health }) => health.status)).toEqual(["healthy", "healthy"]);
    bench.environment.BOB = "tb";
    expect((await bench.pool.execute(GET, as("bob"))).serverId).toBe("a");
  });

  test("tries another server when one refuses a principal's credentials, and passes on what the last one says", async () => {
    const bench = await open();
    bench.server("a").behaviour = answer(401);
    expect((await bench.pool.execute(POST, as("alice"))).serverId).toBe("b");
    bench.server("b").behaviour = answer(401);
    expect((await bench.pool.execute(GET, as("alice"))).value.status).toBe(401);
    expect(bench.sent()).toBe("a:2 b:2");
  });

  test("counts the slots of all principals together", async () => {
    const bench = await open({ servers: [{ serverId: "a", maxConnections: 2 }], limits: { queue: false } });
    bench.environment.BOB = "tb";
    bench.server("a").behaviour = (attempt) => aborted(attempt.signal);
    const caller = new AbortController();
    const running = ["alice", "bob"].map((who) =>
      failure(bench.pool.execute(GET, { ...as(who), signal: caller.signal })),
    );
    await flush();
    expect((await failure(bench.pool.execute(GET, as("alice")))).code).toBe("POOL_EXHAUSTED");
    expect(bench.pool.list()[0]?.connections.max).toBe(2);
    caller.abort();
    await Promise.all(running);
  });

  test("keeps the connection of a body that still flows, and closes it some time after", async () => {
    const bench = await open({ servers: ["a"] });
    const bodies: FlowingBody[] = [];
    bench.server("a").behaviour = stream(bodies);
    await bench.pool.execute(GET, as("alice"));
    for (let second = 0; second < 200; second++) {
      bodies[0]?.flow(1);
      bench.clock.advance(1_000);
    }
    await flush();
    expect([bench.server("a").closed, bench.slots()]).toEqual([0, 1]);
    bodies[0]?.end();
    bench.clock.advance(119_000);
    await flush();
    expect(bench.server("a").closed).toBe(0);
    bench.clock.advance(2_000);
    await flush();
    expect(bench.server("a").closed).toBe(1);
    expect(bench.pool.stats().totalConnections).toEqual({ active: 0, idle: 0, max: 10 });
  });

  test("refuses a whole group alike", async () => {
    const bench = await open();
    const { results } = await bench.pool.broadcast(GET, { ...as("mallory"), consume: () => Promise.resolve(1) });
    expect(results.map((result) => !result.ok && result.failure.code)).toEqual(["NO_CREDENTIALS", "NO_CREDENTIALS"]);
  });

  test("remembers the owners of locks and tags for each principal", async () => {
    const stored: string[] = [];
    const affinity = memoryAffinity({ now: () => 0 } as never);
    const bench = await open({
      affinity: { ...affinity, set: (key, ownership) => (stored.push(key), affinity.set(key, ownership)) },
    });
    bench.environment.BOB = "tb";
    bench.server("b").behaviour = answer(200, { affinity: [{ learn: "lock t", kind: "lock" }] });
    await bench.pool.execute(GET, { ...as("alice"), serverId: "b" });
    expect(stored).toEqual(['"alice" lock t']);
    const bound = { ...POST, boundTo: ["lock t"] };
    expect((await bench.pool.execute(bound, as("alice"))).serverId).toBe("b");
    expect((await failure(bench.pool.execute(bound, as("bob")))).code).toBe("AFFINITY_UNKNOWN");
    const named = await bench.pool.execute(bound, { ...as("bob"), serverId: "b" });
    expect([named.serverId, bench.transport.inits.at(-1)?.credentials?.username]).toEqual(["b", "b"]);
    bench.server("b").behaviour = answer(204, { affinity: [{ forget: "lock t" }] });
    await bench.pool.execute(bound, { ...as("bob"), serverId: "b" });
    expect((await bench.pool.execute(bound, as("alice"))).serverId).toBe("b");
  });
});

describe("connections whose names are made to collide", () => {
  // Few letters, so that many of them look like parts of each other.
  const name = fc.string({ unit: fc.constantFrom("a", ":", "1"), maxLength: 3 });

  test("do not meet, whatever transport and principals are called", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.tuple(name, name), {
          minLength: 10,
          selector: ([session, principal]) => JSON.stringify([session, principal]),
        }),
        async (callers) => {
          const bench = await openBench({
            servers: ["a"],
            credentials: {
              partition: (_profile, principal = "") => principal,
              credentials: (_profile, principal) => Promise.resolve({ username: principal ?? "" }),
            },
          });
          bench.transport.partition = (_profile, caller) => caller.session ?? "";
          for (const [session, principal] of callers) await bench.pool.execute(GET, { caller: { session, principal } });
          expect(bench.transport.inits.map(({ partition, credentials }) => [partition, credentials?.username])).toEqual(
            callers,
          );
          await bench.pool.close();
        },
      ),
    );
  });
});

describe("what is wrong with the configuration of principals", () => {
  const selector = definePlugin({ kind: "selector", name: "round-robin", create: () => ({ select: ([one]) => one }) });
  const store = definePlugin({ kind: "store", name: "file", create: () => ({}) as ProfileStore });

  async function problems(credentials: unknown, servers = ["eu", "us"]): Promise<string[]> {
    const raw = {
      pools: { files: { transport: "scripted", credentials, servers: servers.map((serverId) => ({ serverId })) } },
    };
    try {
      await resolveConfig(raw, { baseDirectory: "/", plugins: [...corePlugins, scriptedPlugin, selector, store] });
      return [];
    } catch (error) {
      const { details } = error as { details: { issues: { path: string; message: string; suggestion?: string }[] } };
      return details.issues.map(({ path, message, suggestion }) =>
        [`${path}: ${message}`, suggestion].flat().filter(Boolean).join(" "),
      );
    }
  }
  const of = (principals: unknown, more: object = {}) => problems({ type: "principals", principals, ...more });

  test("nothing, where it is right", async () => {
    const right = {
      alice: { username: "a", password: { env: "A" } },
      "https://id.example.com/#42": { token: { file: "/run/secrets/42" } },
      carol: { servers: { eu: { username: "c" }, us: { username: "d" } } },
      dave: { token: "t", servers: { us: { username: "d" } } },
    };
    expect(await of(right)).toEqual([]);
    expect(await of(right, { otherwise: "profile" })).toEqual([]);
    expect(await of({})).toEqual([]);
  });

  test.each<[string, unknown, string[]]>([
    ["no principals", "principals", ["pools.files.credentials.principals: is missing; it is required."]],
    [
      "principals as a list",
      { type: "principals", principals: ["hunter2"] },
      ["pools.files.credentials.principals: must be an object; got a list."],
    ],
    [
      "a password alone",
      { type: "principals", principals: { alice: "hunter2" } },
      ["pools.files.credentials.principals.alice: must be an object; got text."],
    ],
    [
      "a password that is a number",
      { type: "principals", principals: { alice: { password: 1234567 } } },
      [
        'pools.files.credentials.principals.alice.password: must be a secret: text, { env: "NAME" }, { file: "path" } or { command: ["program", "argument"] }; got a number.',
      ],
    ],
    [
      "a secret in a wrong place",
      { type: "principals", principals: { alice: { password: { value: "hunter2" } } } },
      [
        'pools.files.credentials.principals.alice.password: must be a secret: text, { env: "NAME" }, { file: "path" } or { command: ["program", "argument"] }; got an object with "value".',
      ],
    ],
    [
      "a key misspelt",
      { type: "principals", principals: { "a b": { pasword: "hunter2", username: "a" } } },
      [
        'pools.files.credentials.principals["a b"].pasword: unknown key; known here: username, password, token, servers. Did you mean "password"?',
      ],
    ],
    [
      "an unknown server",
      { type: "principals", principals: { alice: { username: "a", servers: { eo: { token: "hunter2" } } } } },
      [
        'pools.files.credentials.principals.alice.servers.eo: the pool declares no server "eo"; declared: eu, us. Did you mean "eu"?',
      ],
    ],
    [
      "a server left out",
      { type: "principals", principals: { alice: { servers: { eu: { token: "hunter2" } } } } },
      [
        "pools.files.credentials.principals.alice.servers: has nothing for us; name every server of the pool, or give credentials for all beside it.",
      ],
    ],
    [
      "nothing at all, or too much",
      {
        type: "principals",
        principals: {
          alice: {},
          bob: { username: "b", token: "hunter2" },
          carol: { username: "c", servers: { eu: {}, us: { password: "hunter2", token: "hunter2" } } },
        },
      },
      [
        "pools.files.credentials.principals.alice: is empty; give username and password, or token, or servers.",
        "pools.files.credentials.principals.bob.token: stands instead of username and password; give one or the other.",
        "pools.files.credentials.principals.carol.servers.eu: is empty; give username and password, or token.",
        "pools.files.credentials.principals.carol.servers.us.token: stands instead of username and password; give one or the other.",
      ],
    ],
    [
      "a name that is none, and a server named as objects are",
      { type: "principals", principals: { "": { token: "hunter2" }, a: { servers: { constructor: { token: "t" } } } } },
      [
        'pools.files.credentials.principals[""]: has no name; principals are named as identity names them.',
        'pools.files.credentials.principals.a.servers.constructor: the pool declares no server "constructor"; declared: eu, us.',
        "pools.files.credentials.principals.a.servers: has nothing for eu, us; name every server of the pool, or give credentials for all beside it.",
      ],
    ],
    [
      "another word for otherwise",
      { type: "principals", principals: {}, otherwise: "allow" },
      ['pools.files.credentials.otherwise: must be one of "deny", "profile"; got "allow".'],
    ],
  ])("%s", async (_what, credentials, expected) => {
    const found = await problems(credentials);
    expect(found).toEqual(expected);
    expect(found.join()).not.toMatch(/hunter2|1234567/);
  });

  test("is seen by the editor", () => {
    const config = defineConfig({
      pools: {
        files: {
          transport: named("webdav"),
          credentials: { type: "principals", principals: { alice: { password: { env: "A" } } }, otherwise: "profile" },
        },
        // @ts-expect-error -- principals are needed
        others: { transport: named("webdav"), credentials: { type: "principals" } },
        // @ts-expect-error -- the name alone has none
        more: { transport: named("webdav"), credentials: "principals" },
      },
    });
    expect(Object.keys(config.pools)).toEqual(["files", "others", "more"]);
  });

  test("also of a pool without servers", async () => {
    expect(
      await problems({ type: "principals", principals: { a: { token: "t", servers: { eu: { token: "u" } } } } }, []),
    ).toEqual(['pools.files.credentials.principals.a.servers.eu: the pool declares no server "eu"; declared: none.']);
  });
});
