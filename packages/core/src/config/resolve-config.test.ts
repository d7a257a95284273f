import { Ajv } from "ajv";
import { Type, type TProperties } from "typebox";
import { describe, expect, expectTypeOf, test } from "vitest";
import { PackageMissingError } from "../errors/config-errors.ts";
import { corePlugins } from "../plugin/core-plugins.ts";
import { definePlugin, type AnyPlugin } from "../plugin/define-plugin.ts";
import { PluginRegistry, pluginProblem } from "../plugin/registry.ts";
import { token } from "../plugin/scope.ts";
import { DurationSchema } from "../time/duration.ts";
import { defineConfig, named } from "./define-config.ts";
import { resolveConfig, type ResolveOptions } from "./resolve-config.ts";
import { composeSchema } from "./schema.ts";
import { SecretSchema } from "./secret.ts";
import { suggestion } from "./suggestion.ts";

const roundRobin = definePlugin({
  kind: "selector",
  name: "round-robin",
  create: () => ({ select: ([first]) => first }),
});
const decaying = definePlugin({
  kind: "selector",
  name: "decaying",
  options: Type.Object({
    decay: Type.Optional(DurationSchema({ default: "10s" })),
    mode: Type.Optional(Type.Enum(["fast", "slow"])),
  }),
  create: () => ({ select: ([first]) => first }),
});
const zoned = definePlugin({
  kind: "selector",
  name: "zoned",
  options: Type.Object({ zone: Type.String() }),
  create: () => ({ select: ([first]) => first }),
});
const file = definePlugin({ kind: "store", name: "file", create: () => ({}) as never });
const files = definePlugin({
  kind: "transport",
  name: "files",
  options: Type.Object({ idle: Type.Optional(Type.Integer({ minimum: 0, default: 4 })) }),
  profile: Type.Object({ url: Type.String(), password: Type.Optional(SecretSchema()) }),
  create: () => ({}) as never,
});
const readOnly = definePlugin({ kind: "policy", name: "read-only", create: () => ({}) });

const plugins = [...corePlugins, roundRobin, decaying, zoned, file, files, readOnly] as readonly AnyPlugin[];
const sections: TProperties = {
  tools: Type.Optional(Type.Object({ limit: Type.Integer() }, { additionalProperties: false })),
};

declare module "./define-config.ts" {
  interface SelectorOptions {
    decaying: { decay?: string; mode?: "fast" | "slow" };
    zoned: { zone: string };
  }
  interface TransportProfiles {
    files: { serverId: string; url: string; timeout?: number };
  }
  interface TransportOptions {
    files: { idle?: number };
  }
}

const resolve = (config: unknown, options: Partial<ResolveOptions> = {}) =>
  resolveConfig(config, { baseDirectory: "/etc/davpool", plugins, sections, ...options });

/** Everything that is wrong, one line each. */
async function problems(config: unknown, options: Partial<ResolveOptions> = {}): Promise<string[]> {
  return resolve(config, options).then(
    () => [],
    (error: { message: string; code: string }) => {
      expect(error.code).toBe("INVALID_CONFIG");
      return error.message
        .split("\n")
        .slice(1)
        .map((line) => line.trim());
    },
  );
}

const server = { serverId: "a", url: "http://a" };
const pool = (fields: object = {}) => ({ pools: { main: { transport: "files", servers: [server], ...fields } } });

describe("a right configuration", () => {
  test("has every default filled in", async () => {
    const { pools, security, registry, services, sections: rest } = await resolve(pool(), { file: "/etc/x.ts" });
    expect(pools).toMatchObject([
      {
        name: "main",
        primary: true,
        transport: { plugin: files, options: { idle: 4 } },
        strategy: { plugin: roundRobin, options: {} },
        probe: { options: { slow: "1s" } },
        failover: { options: { enabled: true, backoff: "100ms", longestBackoff: "5s" } },
        policies: [],
        store: { plugin: file },
        health: { enabled: true, failures: 3, successes: 2, timeout: 5_000, recoveryInterval: 2_000, ejection: 30_000 },
        limits: {
          queue: { size: 1_000, timeout: 10_000 },
          minimumRate: 1_024,
          retryBudget: 0.2,
          broadcastConcurrency: 8,
        },
        deadline: 50_000,
        tiers: true,
        writes: "balanced",
        servers: [
          {
            serverId: "a",
            url: "http://a",
            priority: 1,
            maxConnections: 10,
            timeout: 30_000,
            retryAttempts: 3,
            healthCheckInterval: 60,
            enabled: true,
          },
        ],
      },
    ]);
    expect(security).toEqual({
      allowHosts: [],
      allowCleartext: false,
      managementTools: true,
      requestHeaders: [],
      responseHeaders: [],
    });
    expect(registry.list("selector").map((plugin) => String(plugin.name))).toEqual([
      "decaying",
      "round-robin",
      "zoned",
    ]);
    expect([services, rest]).toEqual([[], { tools: undefined }]);
  });

  test("keeps what is written", async () => {
    const config = {
      plugins: [],
      store: "file",
      security: { allowHosts: ["10.0.0.0/8"] },
      tools: { limit: 3 },
      pools: {
        main: {
          transport: { type: "files", idle: 1 },
          strategy: { type: "decaying", decay: "1m" },
          policies: ["read-only"],
          health: { enabled: false, timeout: "1s" },
          limits: { queue: { size: 5 }, retryBudget: 0 },
          deadline: 1_500,
          tiers: false,
          writes: "primary",
          serverDefaults: { timeout: 99, priority: 2 },
          servers: [server, { serverId: "b", url: "http://b", timeout: 1, priority: undefined }],
        },
        second: { transport: "files", limits: { queue: false } },
      },
    };
    const before = structuredClone(config);
    const { pools, security, sections: rest } = await resolve(config);
    expect(config).toEqual(before);
    expect(pools[0]).toMatchObject({
      primary: true,
      transport: { options: { idle: 1 } },
      strategy: { plugin: decaying, options: { decay: "1m" } },
      policies: [{ plugin: readOnly }],
      health: { enabled: false, timeout: 1_000, failures: 3 },
      limits: { queue: { size: 5, timeout: 10_000 }, retryBudget: 0 },
      deadline: 1_500,
      tiers: false,
      writes: "primary",
      servers: [
        { timeout: 99, priority: 2 },
        { timeout: 1, priority: 2 },
      ],
    });
    expect(pools[1]).toMatchObject({ primary: false, limits: { queue: false }, servers: [] });
    expect(security).toMatchObject({ allowHosts: ["10.0.0.0/8"] });
    expect(rest).toEqual({ tools: { limit: 3 } });
  });

  test("may name a plugin by its value", async () => {
    const { pools } = await resolve(pool({ strategy: decaying }));
    expect(pools[0]?.strategy).toEqual({ plugin: decaying, options: { decay: "10s" } });
  });

  test("may bring plugins, which then have a name", async () => {
    const own = definePlugin({ kind: "selector", name: "own", create: () => ({ select: ([first]) => first }) });
    const imported = definePlugin({ kind: "policy", name: "imported", create: () => ({}) });
    const service = definePlugin({ kind: "service", name: "cache", provides: token("test:cache"), create: () => 1 });
    const { pools, services } = await resolve(
      { ...pool({ strategy: "own", policies: ["imported"] }), plugins: [own, "davpool-imported", service] },
      { importPlugin: () => Promise.resolve({ default: [imported] }) },
    );
    expect(pools[0]).toMatchObject({ strategy: { plugin: own }, policies: [{ plugin: imported }] });
    expect(services).toMatchObject([{ plugin: service, options: {} }]);
  });

  test("may have other defaults where it is hosted", async () => {
    const { pools } = await resolve(pool(), { defaults: { selector: "decaying" } });
    expect(pools[0]?.strategy.plugin).toBe(decaying);
  });
});

describe("what is wrong is said with its path", () => {
  test.each<[string, unknown, string[]]>([
    ["no object", undefined, ["must be an object with at least the key pools: export it as the default export."]],
    ["pools missing", {}, ["pools: is missing; it is required."]],
    ["pools empty", { pools: {} }, ["pools: is empty; declare at least one pool."]],
    ["pools of another type", { pools: 5 }, ["pools: must be an object; got 5."]],
    ["a pool of another type", { pools: { main: 5 } }, ["pools.main: must be an object; got 5."]],
    [
      "unknown key",
      { ...pool(), polls: {} },
      ['polls: unknown key; known here: $schema, plugins, pools, store, security, tools. Did you mean "pools"?'],
    ],
    [
      "unknown key of a server",
      { pools: { main: { transport: "files", servers: [{ ...server, timeut: 1 }] } } },
      [
        expect.stringMatching(
          /^pools\.main\.servers\[0\]\.timeut: unknown key; .* Did you mean "timeout"\?$/,
        ) as string,
      ],
    ],
    ["wrong type", pool({ tiers: "yes" }), ['pools.main.tiers: must be a boolean; got "yes".']],
    [
      "wrong enum",
      pool({ writes: "primry" }),
      ['pools.main.writes: must be one of "balanced", "primary"; got "primry". Did you mean "primary"?'],
    ],
    [
      "bad duration",
      pool({ deadline: "soon" }),
      [
        'pools.main.deadline: must be a duration: a number of milliseconds, or text such as "500ms", "30s", "5m", "1h"; got "soon".',
      ],
    ],
    [
      "bad queue",
      pool({ limits: { queue: true } }),
      ["pools.main.limits.queue: must be { size, timeout }, or false for an error at once; got true."],
    ],
    [
      "unknown key of the queue",
      pool({ limits: { queue: { sise: 1 } } }),
      ['pools.main.limits.queue.sise: unknown key; known here: size, timeout. Did you mean "size"?'],
    ],
    [
      "invalid pool id",
      { pools: { a__b: { transport: "files" } } },
      [
        "pools.a__b: must be named by an id: a letter or digit, then up to 31 letters, digits, dots, dashes or underscores, without a double underscore.",
      ],
    ],
    [
      "invalid server id",
      { pools: { main: { transport: "files", servers: [{ serverId: "-a", url: "http://a" }] } } },
      [
        'pools.main.servers[0].serverId: must be an id: a letter or digit, then up to 31 letters, digits, dots, dashes or underscores, without a double underscore; got "-a".',
      ],
    ],
    [
      "duplicate server id",
      pool({ servers: [server, { ...server }] }),
      ['pools.main.servers[1].serverId: "a" is taken by pools.main.servers[0]; server ids are unique in a pool.'],
    ],
    [
      "missing server ids",
      pool({ servers: [{ url: "http://a" }, { url: "http://b" }, 5] }),
      [
        "pools.main.servers[2]: must be an object; got 5.",
        "pools.main.servers[0].serverId: is missing; it is required.",
        "pools.main.servers[1].serverId: is missing; it is required.",
      ],
    ],
    [
      "a value that is no data",
      pool({ servers: [{ serverId: "a", url: () => "http://a" }] }),
      [expect.stringMatching(/^pools\.main\.servers\[0\]\.url: must be a string; got \(\) =>/) as string],
    ],
    [
      "a wrong secret",
      pool({ servers: [{ ...server, password: { environment: "X" } }] }),
      [
        'pools.main.servers[0].password: must be a secret: text, { env: "NAME" }, { file: "path" } or { command: ["program", "argument"] }; got an object with "environment".',
      ],
    ],
    [
      "unknown strategy",
      pool({ strategy: "decayin" }),
      [
        'pools.main.strategy: there is no selector "decayin"; known: decaying, round-robin, zoned. A plugin of your own goes into "plugins" first. Did you mean "decaying"?',
      ],
    ],
    ["transport missing", { pools: { main: {} } }, ["pools.main.transport: is missing; it is required."]],
    [
      "strategy of another type",
      pool({ strategy: 5 }),
      ['pools.main.strategy: must be a plugin: its name, or { type: "name", …options }; got 5.'],
    ],
    [
      "strategy without a type",
      pool({ strategy: {} }),
      ["pools.main.strategy.type: is missing; it names the selector."],
    ],
    [
      "wrong plugin option",
      pool({ strategy: { type: "decaying", decay: -1, mod: "fast" } }),
      [
        'pools.main.strategy.mod: unknown key; known here: decay, mode. Did you mean "mode"?',
        'pools.main.strategy.decay: must be a duration: a number of milliseconds, or text such as "500ms", "30s", "5m", "1h"; got -1.',
      ],
    ],
    ["missing plugin option", pool({ strategy: "zoned" }), ["pools.main.strategy.zone: is missing; it is required."]],
    [
      "an option where there are none",
      pool({ strategy: { type: "round-robin", x: 1 } }),
      ["pools.main.strategy.x: unknown key; nothing can be set here."],
    ],
    [
      "plugin of another kind as a value",
      pool({ strategy: readOnly }),
      ['pools.main.strategy: is the policy plugin "read-only"; a selector is needed here.'],
    ],
    [
      "plugin for another contract as a value",
      pool({ strategy: { ...roundRobin, contract: 99 } }),
      [
        "pools.main.strategy: was made for plugin contract 99, and this davpool has contract 1: install a matching version.",
      ],
    ],
    [
      "wrong entries in plugins",
      { ...pool(), plugins: [5, { ...roundRobin, contract: 2 }, "davpool-x"] },
      [
        "plugins[0]: is number, not a plugin made with definePlugin.",
        "plugins[1]: was made for plugin contract 2, and this davpool has contract 1: install a matching version.",
        'plugins[2]: "davpool-x" names a package, and packages cannot be imported here; give the plugin as a value.',
      ],
    ],
    [
      "a plugin whose schema is wrong",
      pool({
        strategy: definePlugin({
          kind: "selector",
          name: "odd",
          options: Type.Object({ x: Type.Unsafe({ type: "strin" }) }),
          create: () => ({ select: ([first]) => first }),
        }),
      }),
      [
        expect.stringMatching(
          /^pools\.main\.strategy: the selector plugin "odd" has a schema that cannot be used: /,
        ) as string,
      ],
    ],
    [
      "an unknown transport, and all that does not depend on it",
      {
        pools: {
          main: {
            transport: "ftp",
            servers: [{ serverId: "a", url: "x", timeout: "30s" }, { serverId: "a" }, { url: "y" }],
            credentials: { type: "principals", principals: { alice: { servers: { b: { token: "t" } } } } },
          },
        },
      },
      [
        'pools.main.transport: there is no transport "ftp"; known: files. A plugin of your own goes into "plugins" first.',
        'pools.main.servers[0].timeout: must be an integer; got "30s".',
        'pools.main.servers[1].serverId: "a" is taken by pools.main.servers[0]; server ids are unique in a pool.',
        "pools.main.servers[2].serverId: is missing; it is required.",
        'pools.main.credentials.principals.alice.servers.b: the pool declares no server "b"; declared: a, a.',
        "pools.main.credentials.principals.alice.servers: has nothing for a, a; name every server of the pool, or give credentials for all beside it.",
      ],
    ],
    [
      "a name that is no identifier",
      { pools: { "a.b": { transport: "files", tiers: 1 } } },
      ['pools["a.b"].tiers: must be a boolean; got 1.'],
    ],
    ["a wrong section", { ...pool(), tools: { limit: "x" } }, ['tools.limit: must be an integer; got "x".']],
    [
      "a number out of range",
      pool({ limits: { retryBudget: 2 } }),
      ["pools.main.limits.retryBudget: must be <= 1; got 2."],
    ],
  ])("%s", async (_what, config, expected) => {
    expect(await problems(config)).toEqual(expected);
  });

  test("what a transport knows of profiles that fit its schema", async () => {
    const careful = definePlugin({
      kind: "transport",
      name: "careful",
      profile: Type.Object({ url: Type.String(), ports: Type.Optional(Type.Array(Type.Integer())) }),
      checkProfile: (profile) => {
        const { serverId, priority, url } = profile as typeof profile & { readonly url: string };
        if (url === "oops") throw new Error("oh no");
        if (serverId === "b") return [{ path: "", message: "is wrong as a whole." }];
        return url === "ok" ? [] : [{ path: "url", message: `is no address at priority ${priority}; got "${url}".` }];
      },
      create: () => ({}) as never,
    });
    const servers = [
      { serverId: "a", url: "x" },
      { serverId: "b", url: "ok" },
      { serverId: "c", url: "ok" },
      { serverId: "d", url: "x", ports: ["1"] },
      { serverId: "e", url: "oops" },
    ];
    expect(await problems(pool({ transport: careful, servers }))).toEqual([
      'pools.main.servers[0].url: is no address at priority 1; got "x".',
      "pools.main.servers[1]: is wrong as a whole.",
      'pools.main.servers[3].ports[0]: must be an integer; got "1".',
      expect.stringMatching(
        /^pools\.main\.servers\[4\]: cannot be checked: the transport plugin "careful" failed at it: oh no/,
      ),
    ]);
  });

  test("a check that fails, as the fault of its plugin", async () => {
    const checked = (check: () => never) =>
      definePlugin({ kind: "selector", name: "odd", check, create: () => ({ select: ([first]) => first }) });
    const oops = () => {
      throw new Error("oh no");
    };
    for (const [check, words] of [
      [oops, "oh no"],
      [() => 5 as never, "map is not a function"],
    ] as const)
      expect(await problems(pool({ strategy: checked(check) }))).toEqual([
        expect.stringMatching(
          new RegExp(`^pools\\.main\\.strategy: cannot be checked: the selector plugin "odd" failed at it: .*${words}`),
        ),
      ]);
  });

  test("what a host knows of its own keys, together with all the rest", async () => {
    const seen: unknown[] = [];
    const checkSections: ResolveOptions["checkSections"] = (...given) => {
      seen.push(...given);
      return [{ path: "tools", message: "are too few." }];
    };
    const config = { pools: { ...pool({ tiers: 1 }).pools, other: { transport: "ftp" } }, tools: { limit: "x" } };
    expect(await problems(config, { checkSections })).toEqual([
      "pools.main.tiers: must be a boolean; got 1.",
      'tools.limit: must be an integer; got "x".',
      expect.stringContaining('there is no transport "ftp"'),
      "tools: are too few.",
    ]);
    expect(seen).toEqual([
      { tools: { limit: "x" } },
      [
        { name: "main", transport: "files" },
        { name: "other", transport: undefined },
      ],
    ]);
  });

  test("all at once, under the file's name", async () => {
    await expect(
      resolve({ ...pool({ tiers: 1, strategy: "x", deadline: "x" }), extra: 1 }, { file: "/etc/davpool.config.ts" }),
    ).rejects.toThrow(/^\/etc\/davpool\.config\.ts has 4 problems:\n/);
  });

  test.each<[string, () => Promise<unknown>, string]>([
    [
      "cannot be imported",
      () => Promise.reject(new Error("not found")),
      'plugins[0]: "p" cannot be imported: not found.',
    ],
    [
      "is not installed",
      () => Promise.reject(new PackageMissingError("p")),
      'plugins[0]: "p" cannot be imported: package p is not installed. Install it where the configuration is: npm install p',
    ],
    [
      "cannot find what it needs",
      () => Promise.reject(new Error("Cannot find module 'x'\nRequire stack:\n- /p/index.js")),
      "plugins[0]: \"p\" cannot be imported: Cannot find module 'x'.",
    ],
    [
      "exports something else",
      () => Promise.resolve({ default: "hello" }),
      'plugins[0]: the default export of "p" is string, not a plugin made with definePlugin.',
    ],
    [
      "exports nothing",
      () => Promise.resolve(undefined),
      'plugins[0]: the default export of "p" is undefined, not a plugin made with definePlugin.',
    ],
    [
      "has no default export",
      () => import("../testing/named-plugin.test-support.ts"),
      'plugins[0]: the default export of "p" is missing: the module exports named by name. Write `export default definePlugin({ … })`.',
    ],
    [
      "exports what was not made with definePlugin",
      () => Promise.resolve({ default: { kind: "selector", name: "x" } }),
      'plugins[0]: the default export of "p" has no `contract`: make it with definePlugin of @davpool/core.',
    ],
    [
      "takes the name of a plugin that is there already",
      () => Promise.resolve({ default: { ...roundRobin } }),
      'plugins[0]: the default export of "p" ("round-robin") has the name of another selector plugin. Choose another name, or set override: true in definePlugin to replace that one.',
    ],
  ])("a plugin package that %s", async (_what, importPlugin, expected) => {
    expect(await problems({ ...pool(), plugins: ["p"] }, { importPlugin })).toEqual([expected]);
  });

  test.each([
    [null, "is null, not a plugin made with definePlugin"],
    [
      { ...roundRobin, kind: "strategy" },
      expect.stringMatching(/^has kind "strategy"; the kinds are service, transport/) as string,
    ],
    [{ ...roundRobin, name: "" }, "has no name"],
    [{ ...roundRobin, create: 1 }, '("round-robin") has no create function'],
    [{ ...roundRobin, options: null }, '("round-robin") has options that are no schema'],
    [{ ...roundRobin, kind: "service" }, '("round-robin") is a service without the token it provides'],
    [roundRobin, undefined],
  ])("a value that is no plugin: %#", (value, expected) => {
    expect(pluginProblem(value)).toEqual(expected);
  });
});

describe("the composed schema", () => {
  const schema = composeSchema(new PluginRegistry(plugins), sections);
  const check = new Ajv({ strict: false, allErrors: true }).compile(schema);

  test("is plain JSON and a valid schema of draft 7", () => {
    expect(schema).toEqual(JSON.parse(JSON.stringify(schema)));
    expect(new Ajv({ strict: false }).validateSchema(schema)).toBe(true);
    expect(JSON.stringify(schema)).not.toMatch(/"expects(Keys)?":"/);
  });

  test("is one also where there are no plugins at all", () => {
    const empty = composeSchema(new PluginRegistry());
    expect(new Ajv({ strict: false }).validateSchema(empty)).toBe(true);
  });

  test("keeps an option that is called like our own annotation", () => {
    const odd = definePlugin({
      kind: "policy",
      name: "odd",
      options: Type.Object({ expects: Type.Optional(Type.String()) }),
      create: () => ({}),
    });
    const composed = composeSchema(new PluginRegistry([...plugins, odd]));
    expect(JSON.stringify(composed)).toContain('"expects":{"type":"string"}');
  });

  test.each<[string, unknown]>([
    ["the least there can be", { pools: { main: { transport: "files" } } }],
    ["a server", pool()],
    ["a schema for editors", { ...pool(), $schema: "./schema.json" }],
    ["options", pool({ strategy: { type: "decaying", decay: 5, mode: "slow" } })],
    ["a duration", pool({ deadline: "1.5h" })],
    ["no queue", pool({ limits: { queue: false } })],
    ["a queue", pool({ limits: { queue: { size: 2, timeout: "1s" } } })],
    ["policies", pool({ policies: ["read-only"] })],
    ["required options", pool({ strategy: { type: "zoned", zone: "eu" } })],
    ["a secret's place", pool({ servers: [{ ...server, password: { env: "X" } }] })],
    ["defaults of servers", pool({ serverDefaults: { timeout: 5 } })],
    ["a section", { ...pool(), tools: { limit: 1 } }],
    ["security", { ...pool(), security: { allowHosts: [], allowCleartext: true, managementTools: false } }],
    ["no pools", {}],
    ["pools of a wrong type", { pools: [] }],
    ["a wrong id", { pools: { "a b": { transport: "files" } } }],
    ["no transport", { pools: { main: {} } }],
    ["an unknown transport", { pools: { main: { transport: "ftp" } } }],
    ["an unknown strategy", pool({ strategy: "x" })],
    ["an unknown option", pool({ strategy: { type: "decaying", x: 1 } })],
    ["a missing option", pool({ strategy: { type: "zoned" } })],
    ["a name that needs options", pool({ strategy: "zoned" })],
    ["a wrong duration", pool({ deadline: "1 day" })],
    ["a negative duration", pool({ deadline: -1 })],
    ["an unknown key of a server", pool({ servers: [{ ...server, x: 1 }] })],
    ["a server without its address", pool({ servers: [{ serverId: "a" }] })],
    ["a wrong secret", pool({ servers: [{ ...server, password: { command: [] } }] })],
    ["a serverId among the defaults", pool({ serverDefaults: { serverId: "a" } })],
    ["a wrong queue", pool({ limits: { queue: { size: 0 } } })],
    ["an unknown key", { ...pool(), x: 1 }],
    ["a fraction of a connection", pool({ servers: [{ ...server, maxConnections: 1.5 }] })],
  ])("accepts what is accepted and rejects what is rejected: %s", async (_what, config) => {
    const accepted = (await problems(config)).filter((line) => !line.includes("declare at least one pool"));
    expect(check(config)).toBe(accepted.length === 0);
  });
});

describe("suggestions", () => {
  test.each([
    ["prioritty", ["priority", "group"], 'Did you mean "priority"?'],
    ["Priority", ["priority"], 'Did you mean "priority"?'],
    ["xyz", ["priority", "group"], undefined],
    ["x", [], undefined],
    ["2", ["0", "1", "infinity"], undefined],
    ["x", ["xy"], undefined],
    ["get", ["put"], undefined],
    ["pots", ["post"], 'Did you mean "post"?'],
    ["e1", ["e2"], 'Did you mean "e2"?'],
  ])("for %s of %j: %s", (written, known, expected) => {
    expect(suggestion(written, known)).toBe(expected);
  });
});

describe("defineConfig", () => {
  const mine = definePlugin({
    kind: "selector",
    name: "mine",
    options: Type.Object({ depth: Type.Integer() }),
    create: () => ({ select: ([first]) => first }),
  });

  test("gives back what it was given", () => {
    const config = defineConfig({ pools: { main: { transport: "files", servers: [server] } } });
    expect(config).toEqual({ pools: { main: { transport: "files", servers: [server] } } });
  });

  test("knows names, options and profiles", () => {
    defineConfig({ pools: { main: { transport: "files", strategy: "decaying" } } });
    defineConfig({
      pools: { main: { transport: { type: "files", idle: 1 }, strategy: { type: "decaying", mode: "fast" } } },
    });
    // @ts-expect-error -- no such mode
    defineConfig({ pools: { main: { transport: "files", strategy: { type: "decaying", mode: "medium" } } } });
    // @ts-expect-error -- no such strategy
    defineConfig({ pools: { main: { transport: "files", strategy: "decayin" } } });
    // @ts-expect-error -- the option zone must be given
    defineConfig({ pools: { main: { transport: "files", strategy: "zoned" } } });
    // @ts-expect-error -- a server has a url
    defineConfig({ pools: { main: { transport: "files", servers: [{ serverId: "a" }] } } });
    // @ts-expect-error -- not a duration
    defineConfig({ pools: { main: { transport: "files", deadline: "soon" } } });
    expectTypeOf(defineConfig).toBeFunction();
  });

  test("knows the plugins that the configuration brings", () => {
    expectTypeOf(mine.name).toEqualTypeOf<"mine">();
    defineConfig({ plugins: [mine], pools: { main: { transport: "files", strategy: { type: "mine", depth: 1 } } } });
    defineConfig({
      plugins: [mine],
      // @ts-expect-error -- depth is a number
      pools: { main: { transport: "files", strategy: { type: "mine", depth: "1" } } },
    });
  });

  test("takes plugins as values, of the right kind, and names that no type knows", async () => {
    defineConfig({ pools: { main: { transport: "files", strategy: roundRobin, policies: [readOnly] } } });
    // @ts-expect-error -- a policy is no strategy
    defineConfig({ pools: { main: { transport: "files", strategy: readOnly } } });
    const config = defineConfig({
      pools: { main: { transport: named("files", { idle: 2 }), strategy: named("round-robin"), servers: [server] } },
    });
    expect((await resolve(config)).pools[0]).toMatchObject({
      transport: { plugin: files, options: { idle: 2 } },
      strategy: { plugin: roundRobin },
    });
  });
});
