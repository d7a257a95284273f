import type { ServerOrigin } from "@davpool/core";
import { describe, expect, test } from "vitest";
import { admit, argv, problemsOf } from "./profile.ts";
import { openPool } from "./testing/pool.test-support.ts";
import type { McpProfile } from "./wire.ts";

const BASE = {
  serverId: "a",
  priority: 1,
  weight: 1,
  maxConnections: 10,
  timeout: 1_000,
  retryAttempts: 3,
  healthCheckInterval: 60,
  enabled: true,
};

function judged(
  fields: Partial<McpProfile>,
  origin: ServerOrigin = "declared",
  allowHosts: readonly string[] = [],
): string {
  try {
    return admit({ ...BASE, ...fields }, origin, { allowHosts, allowCleartext: false }).join(" ");
  } catch (error) {
    return (error as Error).message;
  }
}

test.each([
  [{}, /neither a command nor an address; give command .* or url/],
  [{ command: "x", url: "https://a.example/" }, /both command and url/],
  [{ command: "npx -y some-server" }, /no shell takes it apart; write \["npx","-y","some-server"\]/],
  [{ command: " " }, /names no program/],
  [{ command: "x", token: "t" }, /token: belongs to a server with a url; .* env/],
  [{ command: "x", env: { "A=B": "c" } }, /"A=B" is no name of a variable/],
  [{ url: "ftp://u:hunter2@a.example/" }, /must be an http: or https: address.* got "ftp:\/\/…@a.example\/"/],
  [{ url: "https://u:p@a.example/" }, /must not hold credentials/],
  [{ url: "https://a.example/#x" }, /fragment/],
  [{ url: "https://a.example/", cwd: "/" }, /cwd: belongs to a server with a command/],
  [{ url: "https://a.example/", headers: { "Mcp-Session-Id": "1" } }, /is set by the protocol/],
  [{ url: "https://a.example/", headers: { "a b": "1" } }, /"a b" is no name of a header/],
  [{ url: "https://a.example/", token: "t", headers: { Authorization: "x" } }, /give one of them/],
  [{ url: "https://a.example/", transport: "sse", era: "modern" }, /has no modern era/],
  [{ url: "https://a.example/", oauth: { clientId: "a", clientSecret: "b" } }, /either tokenUrl.* or issuer/],
  [{ url: "https://a.example/", oauth: { clientId: "a", clientSecret: "b", tokenUrl: "http://b.example/" } }, /https/],
  [{ url: "http://a.example/", token: "t" }, /gets its credentials over http: in clear/],
] as const)("%j is refused, or warned of, in words that help", (fields, message) => {
  expect(judged(fields as Partial<McpProfile>)).toMatch(message);
});

test("what is right is admitted without a word", () => {
  expect(judged({ command: ["npx", "-y", "some-server"], env: { KEY: { env: "KEY" } }, cwd: "/tmp" })).toBe("");
  expect(judged({ command: "/opt/my server/bin" })).toBe("");
  expect(judged({ url: "http://127.0.0.1:1/mcp", token: "t" })).toBe("");
  expect(argv({ ...BASE, command: "npx", args: ["-y", "x"] })).toEqual(["npx", "-y", "x"]);
});

describe("a server that was added at run time", () => {
  test("never runs a command", async () => {
    expect(judged({ command: "rm" }, "added")).toMatch(/only the operator's configuration may name a command/);
    await using open = await openPool([]);
    await expect(open.pool.add({ serverId: "x", command: ["true"] })).rejects.toThrow(
      /only the operator's configuration/,
    );
    await expect(open.pool.add({ serverId: "x", url: "https://a.example/", env: { A: "b" } })).rejects.toThrow(
      /only the operator's configuration/,
    );
    expect(open.pool.list()).toEqual([]);
  });

  test.each([
    "http://127.0.0.1/",
    "http://[::1]/",
    "https://10.1.2.3/",
    "http://169.254.169.254/",
    "http://localhost/",
  ])("has a public address, and not %s", async (url) => {
    await using open = await openPool([]);
    await expect(open.pool.add({ serverId: "x", url })).rejects.toThrow(/not a public address.*security\.allowHosts/);
    expect(open.pool.list()).toEqual([]);
  });

  test("gets no credentials in clear", () => {
    expect(judged({ url: "http://1.1.1.1/", token: "t" }, "added")).toMatch(/in clear/);
  });

  test("is judged when its name is looked up", async () => {
    await using open = await openPool([]);
    await open.pool.add({ serverId: "x", url: "http://localtest.invalid/mcp" });
    await expect(open.pool.execute({ method: "tools/list" })).rejects.toThrow(/host name localtest\.invalid not found/);
  });
});

test("unknown fields and wrong types are found with the rest of the configuration", async () => {
  await expect(
    openPool([{ comand: ["x"] }, { command: [] }, { url: "https://a.example/", transport: "websocket" }]),
  ).rejects.toThrow(/comand[\s\S]*command[\s\S]*transport/);
  await expect(openPool([{ serverId: "a__b", command: "x" }])).rejects.toThrow(/without a double underscore/);
  await expect(
    openPool([
      { command: "x", url: "https://a.example/" },
      { serverId: "b" },
      { serverId: "c", url: "x" },
      { serverId: "d", command: "node x.js --foo", token: "t" },
      { serverId: "e", url: "https://a:b@c.example/", headers: { "a b": "1" } },
    ]),
  ).rejects.toMatchObject({
    code: "INVALID_CONFIG",
    issues: [
      { path: "pools.tools.servers[0]", message: expect.stringContaining("has both command and url") as string },
      { path: "pools.tools.servers[1]", message: expect.stringContaining("neither a command nor an addr") as string },
      { path: "pools.tools.servers[2].url", message: expect.stringContaining("https: address, such as") as string },
      { path: "pools.tools.servers[3].token", message: expect.stringContaining("goes into env") as string },
      { path: "pools.tools.servers[3].command", message: expect.stringContaining('["node","x.js","--foo"]') as string },
      { path: "pools.tools.servers[4].url", message: expect.stringContaining('got "https://…@c.example/"') as string },
      { path: "pools.tools.servers[4].headers", message: expect.stringContaining("no name of a header") as string },
    ],
  });
});

test("what a shell would replace is refused, and never passed on as it is", () => {
  const problems = problemsOf({
    serverId: "s",
    command: ["server", "--key=${KEY}"],
    env: { TOKEN: "Bearer ${TOKEN}", PLAIN: "$HOME" },
  } as unknown as McpProfile);
  expect(problems.map(({ path, message }) => `${path} ${message}`)).toEqual([
    expect.stringContaining('env.TOKEN holds ${TOKEN}, which is not replaced; write { env: "TOKEN" }'),
    expect.stringContaining("command holds ${KEY}, which no shell replaces"),
  ]);
});
