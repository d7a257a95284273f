import { createHash } from "node:crypto";
import { spawnSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Ajv } from "ajv";
import { openPools } from "@davpool/core";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { EXIT, runCli } from "./cli.ts";
import { readConfiguration } from "./configuration.ts";
import { BIN, temporaryFolder } from "./testing/davpool-process.test-support.ts";

async function davpool(...parameters: string[]): Promise<{ code: number; out: string; error: string }> {
  let [out, error] = ["", ""];
  const terminal = { out: (text: string) => void (out += text), error: (text: string) => void (error += text) };
  const code = await runCli(parameters, terminal, new AbortController().signal);
  return { code, out, error };
}

/** Runs `davpool check` on a file of this name and content. */
async function check(name: string, content: string, ...parameters: string[]) {
  await using folder = await temporaryFolder();
  const file = join(folder.path, name);
  await writeFile(file, content);
  return { file, ...(await davpool("check", "--config", file, ...parameters)) };
}

const CORE = pathToFileURL(new URL("../../core/src/index.ts", import.meta.url).pathname).href;

describe("davpool", () => {
  test("--help names the commands and the exit codes", async () => {
    const { code, out } = await davpool("--help");
    expect(code).toBe(EXIT.ok);
    for (const word of ["serve", "check", "schema", "status", "Exit codes", "--version"]) expect(out).toContain(word);
  });

  test.each(["", "-", "a b", "x".repeat(129)])("token for %j is refused, as a configuration would", async (name) => {
    const { code, error } = await davpool("token", "--", name);
    expect([code, error]).toEqual([EXIT.usage, expect.stringContaining("must be a name: a letter or digit, then")]);
  });

  test("token prints a token once, and what the configuration needs of it", async () => {
    const { code, out } = await davpool("token", "bob");
    const [token = ""] = /dvp_[\w-]{43}/.exec(out) ?? [];
    const hash = createHash("sha256").update(token).digest("hex");
    const [, entry = ""] = /(\{.*\})/.exec(out) ?? [];
    const shown = JSON.parse(entry) as { principal: string; hash: string };
    expect([code, shown.principal, Buffer.from(shown.hash.slice(7), "base64url").toString("hex")]).toEqual([
      EXIT.ok,
      "bob",
      hash,
    ]);
  });

  test("store rekey encrypts the store's file with the first of the keys", async () => {
    await using folder = await temporaryFolder();
    const store = join(folder.path, "servers.json");
    const config = join(folder.path, "davpool.config.json");
    await writeFile(
      config,
      JSON.stringify({ store: { type: "file", path: store }, pools: { files: { transport: "webdav" } } }),
    );
    const [former, next] = ["former-key-0123456789-abcdefghijklm", "next-key-0123456789-abcdefghijklmno"];
    const read = async (DAVPOOL_SECRET_KEY: string, change = false) => {
      const environment = { DAVPOOL_SECRET_KEY };
      await using open = await openPools(await readConfiguration({ file: config }), { environment });
      const pool = open.pools.get("files");
      if (change) await pool?.add({ serverId: "x", url: "https://example.com/", token: "t" });
      return pool?.list().map(({ serverId }) => serverId);
    };
    await read(former, true);
    vi.stubEnv("DAVPOOL_SECRET_KEY", `${next},${former}`);
    onTestFinished(() => void vi.unstubAllEnvs());
    expect(await davpool("store", "rekey", "--config", config)).toMatchObject({
      code: EXIT.ok,
      out: `${store} is encrypted with the first key now. Once every process has it, the other keys can go.\n`,
    });
    expect(await read(next)).toEqual(["x"]);
    await expect(read(former)).rejects.toMatchObject({ code: "STORE_KEY_WRONG" });
    vi.stubEnv("DAVPOOL_SECRET_KEY", "");
    expect((await davpool("store", "rekey", "--config", config)).code).toBe(EXIT.configuration);
    await writeFile(config, JSON.stringify({ store: "memory", pools: { files: { transport: "webdav" } } }));
    expect(await davpool("store", "rekey", "--config", config)).toMatchObject({
      code: EXIT.configuration,
      error: expect.stringContaining("keeps nothing in a file") as string,
    });
  });

  test("--version prints the version", async () => {
    expect(await davpool("--version")).toMatchObject({ code: EXIT.ok, out: "0.1.0\n" });
  });

  test("an unknown command is wrong usage, with a suggestion", async () => {
    const { code, error } = await davpool("serv");
    expect(code).toBe(EXIT.usage);
    expect(error).toContain("Did you mean serve?");
  });

  test("an unknown option is wrong usage", async () => {
    expect(await davpool("check", "--jsno")).toMatchObject({ code: EXIT.usage });
  });

  test("serve ends with exit code 1 and all problems when the configuration is wrong", async () => {
    await using folder = await temporaryFolder();
    await writeFile(join(folder.path, "davpool.config.json"), JSON.stringify({ pools: {}, stroe: "memory" }));
    const { status, stdout, stderr } = spawnSync(process.execPath, [BIN, "serve"], {
      cwd: folder.path,
      encoding: "utf8",
      input: "",
    });
    expect(status).toBe(EXIT.configuration);
    expect(stdout).toBe("");
    expect(stderr).toContain('Did you mean "store"?');
    expect(stderr).toContain("pools: is empty");
  });

  test("serve names the plugin that keeps it from starting, without a stack", async () => {
    await using folder = await temporaryFolder();
    const file = join(folder.path, "davpool.config.mjs");
    const content = `import { definePlugin } from ${JSON.stringify(CORE)};
      const keep = definePlugin({ kind: "policy", name: "keep", create: () => { throw new Error("no licence"); } });
      export default { store: "memory", pools: { files: { transport: "webdav", policies: [keep] } } };`;
    await writeFile(file, content);
    const { code, error } = await davpool("serve", "--config", file);
    expect(code).toBe(EXIT.configuration);
    expect(error).toMatch(/^The policy plugin "keep" of pool "files" failed in create: no licence \(at .*:2\)\. .*\n$/);
  });

  test("status shows a server as unhealthy whose probe says nothing that can be understood", async () => {
    await using folder = await temporaryFolder();
    const file = join(folder.path, "davpool.config.mjs");
    const content = `import { definePlugin } from ${JSON.stringify(CORE)};
      const mute = definePlugin({ kind: "probe", name: "mute", create: () => ({ probe: async () => undefined }) });
      const servers = [{ serverId: "a", url: "http://127.0.0.1:9/" }];
      export default { store: "memory", pools: { files: { transport: "webdav", probe: mute, servers } } };`;
    await writeFile(file, content);
    const { code, out } = await davpool("status", "--json", "--config", file);
    const { pools, errors } = JSON.parse(out) as { pools: { servers: object[] }[]; errors: string[] };
    expect(code).toBe(EXIT.unusable);
    expect(pools[0]?.servers[0]).toMatchObject({ health: "unhealthy" });
    expect(pools[0]?.servers[0]).not.toHaveProperty("latency");
    expect(errors).toEqual([
      expect.stringContaining('The probe "mute" of pool "files" gave undefined.'),
      'All servers of pool "files" are down: a.',
    ]);
  });

  test("serve ends with exit code 0 when its client goes away", async () => {
    await using folder = await temporaryFolder();
    const { status, stdout } = spawnSync(process.execPath, [BIN, "serve"], {
      cwd: folder.path,
      encoding: "utf8",
      input: "",
    });
    expect({ status, stdout }).toEqual({ status: EXIT.ok, stdout: "" });
  });
});

describe("davpool check", () => {
  test("says that a right configuration is right, in words and as JSON", async () => {
    const config = JSON.stringify({
      pools: { files: { transport: "webdav", servers: [{ serverId: "eu", url: "https://dav.example.com/" }] } },
    });
    const words = await check("davpool.config.json", config);
    expect(words.code).toBe(EXIT.ok);
    expect(words.out).toContain("is right");
    expect(words.out).toContain("pool files: webdav, round-robin, servers: eu");
    const json = await check("davpool.config.json", config, "--json");
    expect(JSON.parse(json.out)).toEqual({
      valid: true,
      file: json.file,
      pools: [{ name: "files", transport: "webdav", strategy: "round-robin", servers: ["eu"] }],
    });
  });

  test("takes the other spellings of strategies", async () => {
    for (const strategy of ["round_robin", "least_connections", "least-loaded", "response_time"]) {
      const { code } = await check(
        "davpool.config.json",
        JSON.stringify({ pools: { files: { transport: "webdav", strategy } } }),
      );
      expect(code).toBe(EXIT.ok);
    }
  });

  test("reports everything that is wrong at once, each with its path", async () => {
    const { code, error } = await check(
      "davpool.config.json",
      JSON.stringify({
        pools: {
          files: {
            transport: "webdav",
            stratgy: "random",
            strategy: "round-robbin",
            deadline: "soon",
            servers: [
              { serverId: "a", url: "https://a.example.com/", timeout: "30s" },
              { serverId: "a", url: "https://b.example.com/", maxConections: 3 },
              { serverId: "b" },
            ],
          },
        },
      }),
    );
    expect(code).toBe(EXIT.configuration);
    for (const line of [
      "pools.files.stratgy: unknown key; known here: transport, strategy,",
      'Did you mean "strategy"?',
      'pools.files.strategy: there is no selector "round-robbin"; known: least-connections, priority, random, response-time, round-robin, weighted.',
      'Did you mean "round-robin"?',
      "pools.files.deadline: must be a duration:",
      'pools.files.servers[0].timeout: must be an integer; got "30s".',
      "pools.files.servers[1].maxConections: unknown key;",
      'pools.files.servers[1].serverId: "a" is taken by pools.files.servers[0]',
      "pools.files.servers[2].url: is missing",
    ])
      expect(error).toContain(line);
  });

  test("reports what transports, identity and the gateway know, together with all the rest", async () => {
    const { code, error, file } = await check(
      "davpool.config.json",
      JSON.stringify({
        pools: {
          files: {
            transport: "webdav",
            tiers: 1,
            servers: [
              { serverId: "a", url: "ftp://x/" },
              { serverId: "b", url: "https://b.example.com/", username: "alice" },
            ],
          },
          githup: { transport: "mcp", servers: [{ serverId: "c", command: "node x.js --foo" }] },
          odd: { transport: "ftp", servers: [{ serverId: "d", timeout: "1s" }] },
        },
        identity: { tokens: [{ principal: "a:b", hash: "no" }] },
        gateway: { pools: { github: {}, files: {}, githup: {}, odd: {} } },
      }),
    );
    expect(code).toBe(EXIT.configuration);
    expect(error).toContain(`${file} is wrong:`);
    for (const line of [
      "pools.files.tiers: must be a boolean; got 1.",
      'pools.files.servers[0].url: must be the http: or https: address of a collection, such as "https://dav.example.com/files/"; got "ftp://x/".',
      "pools.files.servers[1].username: has no password beside it",
      'pools.githup.servers[0].command: "node x.js --foo" is one program of this name',
      'pools.odd.transport: there is no transport "ftp"',
      'pools.odd.servers[0].timeout: must be an integer; got "1s".',
      "identity.tokens[0].principal: must be a name",
      "identity.tokens[0].hash: must be",
      'gateway.pools.github: there is no pool "github"; pools of MCP servers: githup. Did you mean "githup"?',
      'gateway.pools.files: pool "files" is none of MCP servers; pools of MCP servers: githup.',
    ])
      expect(error).toContain(line);
    expect(error.trim().split("\n")).toHaveLength(11);
  });

  test.each([
    ["a missing default export of TypeScript", "davpool.config.ts", "export const config = {};", "no default export"],
    ["a missing default export", "davpool.config.mjs", "export const config = {};", "no default export"],
    ["a file that throws", "davpool.config.mjs", '\nthrow new Error("no such vault");', "davpool.config.mjs:2)"],
    ["a syntax error", "davpool.config.ts", "export default {", "cannot be loaded"],
    ["a default export that is no object", "davpool.config.mjs", "export default 7;", "must be an object"],
    ["JSON that does not parse", "davpool.config.json", "{", "cannot be loaded"],
    ["an empty file", "davpool.config.yaml", "", "is empty"],
    [
      "a plugin that is none",
      "davpool.config.mjs",
      'export default { plugins: [{ name: "x" }], pools: { files: { transport: "webdav" } } };',
      "definePlugin",
    ],
    [
      "a package that is not there",
      "davpool.config.json",
      '{ "plugins": ["davpool-strategy-nowhere"], "pools": { "files": { "transport": "webdav" } } }',
      '"davpool-strategy-nowhere" cannot be imported: package davpool-strategy-nowhere is not installed. Install it where the configuration is: npm install davpool-strategy-nowhere',
    ],
    [
      "a wrong option of a third-party strategy",
      "davpool.config.mjs",
      `import { definePlugin } from ${JSON.stringify(CORE)};
       const nearest = definePlugin({ kind: "selector", name: "nearest", options: { type: "object", properties: { zone: { type: "string" } } }, create: () => ({ select: (c) => c[0] }) });
       export default { plugins: [nearest], pools: { files: { transport: "webdav", strategy: { type: "nearest", zne: "eu" } } } };`,
      'pools.files.strategy.zne: unknown key; known here: zone. Did you mean "zone"?',
    ],
  ])("explains %s", async (_what, name, content, words) => {
    const { code, error, file } = await check(name, content);
    expect(error).toContain(words);
    expect(error).toContain(file);
    expect(code).toBe(EXIT.configuration);
  });

  test("explains a file that is not there", async () => {
    const { code, error } = await davpool("check", "--config", "/nowhere/davpool.config.ts");
    expect({ code, error }).toEqual({
      code: EXIT.configuration,
      error: expect.stringContaining("/nowhere/davpool.config.ts") as string,
    });
    expect(error).toContain("--config");
  });

  test("reads TypeScript, and takes a strategy of the configuration's own", async () => {
    const { code, out } = await check(
      "davpool.config.ts",
      `import { definePlugin } from ${JSON.stringify(CORE)};
       const first: unknown = definePlugin({ kind: "selector", name: "first", create: () => ({ select: (candidates) => candidates[0] }) });
       export default { pools: { files: { transport: "webdav", strategy: first } } };`,
    );
    expect(out).toContain("pool files: webdav, first");
    expect(code).toBe(EXIT.ok);
  });
});

test("a TypeScript configuration is a module, whatever the package.json beside it says", async () => {
  await using folder = await temporaryFolder();
  await writeFile(join(folder.path, "package.json"), '{ "type": "commonjs" }');
  const content = 'export default { pools: { files: { transport: "webdav" as string } } };';
  await writeFile(join(folder.path, "davpool.config.ts"), content);
  const { status, stdout } = spawnSync(process.execPath, [BIN, "check"], { cwd: folder.path, encoding: "utf8" });
  expect(stdout).toContain("is right");
  expect(status).toBe(EXIT.ok);
});

describe("davpool check finds what would only show when davpool serves", () => {
  const config = (server: object, more: object = {}) =>
    JSON.stringify({
      pools: {
        files: { transport: "webdav", servers: [{ serverId: "s1", url: "https://a.example.com/", ...server }] },
      },
      ...more,
    });

  test("an environment variable that is not set, and a file that is not there", async () => {
    const unset = config({ username: "u", password: { env: "NOT_SET_ANYWHERE" } });
    expect(await check("davpool.config.json", unset)).toMatchObject({
      code: EXIT.configuration,
      error: expect.stringContaining(
        "pools.files.servers[0].password: the environment variable NOT_SET_ANYWHERE is not set.",
      ) as string,
    });
    const missing = config({ username: "u", password: { file: "missing.txt" } });
    const { code, out } = await check("davpool.config.json", missing, "--json");
    expect([code, JSON.parse(out)]).toMatchObject([
      EXIT.configuration,
      { valid: false, issues: [{ path: "pools.files.servers[0].password" }] },
    ]);
  });

  test("a password without a user name", async () => {
    const { code, error } = await check("davpool.config.json", config({ password: "p" }));
    expect(code).toBe(EXIT.configuration);
    expect(error).toContain("pools.files.servers[0].password: has no username beside it");
  });

  test("credentials that would cross the network in clear", async () => {
    const clear = { url: "http://a.example.com/", username: "u", password: "planted" };
    const { code, error, out } = await check("davpool.config.json", config(clear));
    expect(code).toBe(EXIT.ok);
    expect(error).toContain("Warning: pools.files.servers[0].url: credentials would cross the network in clear.");
    expect(out + error).not.toContain("planted");
    for (const meant of [
      config(clear, { security: { allowCleartext: true } }),
      config({ ...clear, url: "http://127.0.0.1:9/" }),
      config({ url: "http://a.example.com/" }),
    ])
      expect((await check("davpool.config.json", meant)).error).toBe("");
  });

  test("no configuration and no servers", async () => {
    await using folder = await temporaryFolder();
    const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("DAV_")));
    const run = (more: object) =>
      spawnSync(process.execPath, [BIN, "check"], {
        cwd: folder.path,
        encoding: "utf8",
        env: { ...environment, ...more },
      });
    const none = run({});
    expect([none.status, none.stderr]).toEqual([EXIT.configuration, expect.stringContaining("nothing to serve")]);
    expect(run({ DAV_SERVER_URL: "https://a.example.com/" }).status).toBe(EXIT.ok);
  });
});

describe("davpool schema", () => {
  test("prints a JSON Schema that knows every built-in plugin and accepts and refuses what davpool does", async () => {
    const { out } = await davpool("schema");
    const validate = new Ajv({ strict: false }).compile(JSON.parse(out) as object);
    const files = { transport: "webdav", servers: [{ serverId: "a", url: "https://a.example.com/" }] };
    expect(validate({ pools: { files } })).toBe(true);
    expect(validate({ pools: { files: { ...files, strategy: { type: "response-time", decay: "5s" } } } })).toBe(true);
    expect(validate({ pools: { files: { ...files, strategy: { type: "response-time", dcay: "5s" } } } })).toBe(false);
    expect(validate({ pools: { files: { ...files, strategy: "least-loaded" } } })).toBe(true);
    expect(validate({ pools: { files: { ...files, strategy: { type: "round_robin" } } } })).toBe(true);
    expect(validate({ pools: { files: { ...files, strategy: "round-robbin" } } })).toBe(false);
    expect(validate({ pools: { files }, tools: { maxBodySize: 5 } })).toBe(true);
    expect(out).not.toContain("expects");
  });
});
