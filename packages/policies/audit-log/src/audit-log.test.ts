import { mkdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError, resolveConfig, type Pool, type PolicyOptions, type Use } from "@davpool/core";
import { createMcpServer, createWebDavCluster, createWebDavServer } from "@davpool/testkit";
import type { McpWire } from "@davpool/transport-mcp";
import type { WebDavRequest, WebDavResponse, WebDavWire } from "@davpool/transport-webdav";
import { describe, expect, expectTypeOf, test } from "vitest";
import plugin, { auditLog, type AuditLogOptions } from "./index.ts";
import { openAudited, temporaryFolder, type OpenAudited } from "./testing/open-pools.test-support.ts";

const read = { consume: ({ body }: WebDavResponse) => body.text() };

const files = (urls: readonly string[], more: object = {}) => ({
  files: { transport: "webdav", servers: urls.map((url, index) => ({ serverId: `s${index + 1}`, url, ...more })) },
});
const poolOf = ({ open }: OpenAudited) => open.pools.get("files") as Pool<WebDavWire>;

describe("a change of servers", () => {
  test("is one line with its principal, and old and new values without secrets", async () => {
    await using server = await createWebDavServer();
    await using audited = await openAudited({ pools: files([server.url]) });
    const pool = poolOf(audited);
    const caller = { principal: "alice" };
    await pool.update("s1", { enabled: false }, { caller });
    await pool.update("s1", { password: "s3cret" }, { caller }).catch(() => undefined);
    const lines = await audited.written();
    const common = { time: "2026-01-01T00:00:00.000Z", pool: "files", operation: "servers/update", server: "s1" };
    expect(lines).toMatchObject([
      { ...common, ...caller, from: { enabled: true }, to: { enabled: false }, outcome: "ok" },
      { ...common, ...caller, to: { password: "[secret]" }, outcome: "failed", code: "SERVER_DECLARED" },
    ]);
    expect(JSON.stringify(lines)).not.toContain("s3cret");
  });

  test("is refused while a required audit log cannot be written", async () => {
    await using server = await createWebDavServer();
    await using audited = await openAudited({ pools: files([server.url]), options: { required: true } });
    const file = join(audited.folder, "audit.jsonl");
    await rm(file);
    await mkdir(file);
    const pool = poolOf(audited);
    await pool.update("s1", { weight: 2 }).catch(() => undefined);
    await audited.logged("not written");
    await expect(pool.update("s1", { enabled: false })).rejects.toMatchObject({ code: "POLICY_DENIED" });
    expect(pool.list()).toMatchObject([{ serverId: "s1", enabled: true }]);
    await rm(file, { recursive: true });
  });
});

describe("a call", () => {
  test("of a WebDAV pool is one line that says who asked for what, where, and how it ended", async () => {
    await using server = await createWebDavServer();
    await using audited = await openAudited({ pools: files([server.url]) });
    const pool = poolOf(audited);
    const caller = { principal: "alice", session: "session-1" };
    const requests: readonly WebDavRequest[] = [
      { method: "PUT", path: "/a b.txt", body: "the body", headers: { "Content-Type": "text/secret" } },
      { method: "MOVE", path: "/a b.txt", headers: { destination: "/c.txt", Overwrite: "F" } },
      { method: "GET", path: "/missing.txt" },
    ];
    for (const request of requests) await pool.execute(request, { ...read, caller });
    await pool.execute({ method: "GET", path: "/c.txt" }, read);
    const lines = await audited.written();
    const common = { time: "2026-01-01T00:00:00.000Z", pool: "files", server: "s1", outcome: "ok", latency: 0 };
    expect(lines).toEqual([
      { ...common, ...caller, operation: "PUT", path: "/a b.txt" },
      { ...common, ...caller, operation: "MOVE", path: "/a b.txt", destination: "/c.txt" },
      { ...common, ...caller, operation: "GET", path: "/missing.txt", outcome: "refused", code: 404 },
      { ...common, operation: "GET", path: "/c.txt" },
    ]);
    expect(JSON.stringify(lines)).not.toMatch(/the body|secret|Overwrite/);
  });

  test.each([
    ["none", undefined],
    ["names", ["path", "content"]],
    ["values", { path: "/a.txt", content: "s3cret" }],
  ])("of a tool tells of its arguments the %s", async (detail, told) => {
    await using server = await createMcpServer({ transport: "stdio" });
    const servers = [{ serverId: "s1", command: server.command }];
    await using audited = await openAudited({
      pools: { tools: { transport: "mcp", servers } },
      options: { arguments: detail },
    });
    const pool = audited.open.pools.get("tools") as Pool<McpWire>;
    await pool.execute({
      method: "tools/call",
      params: { name: "put", arguments: { path: "/a.txt", content: "s3cret" } },
    });
    await pool.execute({ method: "tools/call", params: { name: "fail" } });
    await pool.execute({ method: "resources/read", params: { uri: "file:///a.txt" } });
    await pool.execute({ method: "prompts/get", params: { name: "greet" } });
    await pool.execute({ method: "resources/subscribe" });
    expect(await audited.written()).toMatchObject([
      {
        operation: "tools/call",
        tool: "put",
        ...(told && { arguments: told }),
        pool: "tools",
        server: "s1",
        outcome: "ok",
      },
      { operation: "tools/call", tool: "fail", outcome: "refused", code: "tool_error" },
      { operation: "resources/read", uri: "file:///a.txt" },
      { operation: "prompts/get", prompt: "greet", outcome: "ok" },
      { operation: "resources/subscribe", outcome: "refused", code: -32_602 },
    ]);
  });

  test("that was denied, failed or given up says so", async () => {
    await using server = await createWebDavServer();
    const policy = {
      before: ({ traits }: { traits: { operation: string } }) =>
        traits.operation === "DELETE" ? { deny: "read-only" } : undefined,
    };
    await using audited = await openAudited({ pools: files([server.url], { retryAttempts: 0 }), policy });
    const pool = poolOf(audited);
    const ended = (request: WebDavRequest, signal?: AbortSignal) =>
      pool.execute(request, { ...read, ...(signal && { signal }) }).catch(() => undefined);
    await ended({ method: "DELETE", path: "/a.txt" });
    await server.inject({ kind: "delay", ms: Infinity, methods: ["GET"] });
    const gone = new AbortController();
    const given = ended({ method: "GET", path: "/slow.txt" }, gone.signal);
    await server.received(1, { method: "GET" });
    gone.abort();
    await given;
    await server.inject({ kind: "status", status: 503, methods: ["PUT"] });
    await ended({ method: "PUT", path: "/b.txt", body: "" });
    await server.stop();
    await ended({ method: "GET", path: "/c.txt" });
    expect(await audited.written()).toMatchObject([
      { path: "/a.txt", outcome: "denied", code: "POLICY_DENIED", reason: "DELETE is not allowed: read-only" },
      { path: "/slow.txt", outcome: "cancelled", code: "CANCELLED" },
      { path: "/b.txt", server: "s1", outcome: "overload", code: 503 },
      { path: "/c.txt", outcome: "unsent", code: "ECONNREFUSED" },
    ]);
  });

  test("of a group is a line for each of its servers", async () => {
    await using cluster = await createWebDavCluster({ servers: 3 });
    await using audited = await openAudited({ pools: files(cluster.urls, { group: "all" }) });
    const caller = { principal: "alice" };
    await poolOf(audited).broadcast({ method: "GET", path: "/" }, { ...read, serverGroup: "all", caller });
    const told = (await audited.written()).map(({ principal, server }) => `${String(principal)} ${String(server)}`);
    expect(told.toSorted()).toEqual(["alice s1", "alice s2", "alice s3"]);
  });
});

test("pools may share a file, which its owner alone may read", async () => {
  await using server = await createWebDavServer();
  const { files: pool } = files([server.url]);
  await using audited = await openAudited({ pools: { files: pool, more: pool } });
  const calls = Array.from({ length: 100 }, (_, number) =>
    [...audited.open.pools.values()].map((each) =>
      (each as Pool<WebDavWire>).execute({ method: "GET", path: `/${number}` }, read),
    ),
  );
  await Promise.all(calls.flat());
  const lines = await audited.written();
  for (const name of ["files", "more"])
    expect(new Set(lines.filter((line) => line["pool"] === name).map(({ path }) => path)).size).toBe(100);
  const { mode } = await stat(join(audited.folder, "audit.jsonl"));
  expect(mode & 0o777).toBe(0o600);
});

describe("in a configuration", () => {
  test("it is named audit-log, takes these options, and may be listed as a plugin", () => {
    expect(plugin).toBe(auditLog);
    expectTypeOf<PolicyOptions["audit-log"]>().toEqualTypeOf<AuditLogOptions>();
    const uses: Use<[], "policy">[] = [
      { type: "audit-log", file: "audit.jsonl" },
      { type: "audit-log", file: "audit.jsonl", arguments: "values", required: true },
      // @ts-expect-error it cannot do without a file
      "audit-log",
      // @ts-expect-error there is no such detail
      { type: "audit-log", file: "audit.jsonl", arguments: "all" },
    ];
    expect(uses).toHaveLength(4);
  });

  test.each([
    [{}, "file"],
    [{ file: "" }, "file"],
    [{ file: "a", arguments: "all" }, "arguments"],
    [{ file: "a", required: "yes" }, "required"],
  ])("%o is refused at %s", async (written, place) => {
    const pools = { files: { transport: "none", policies: [{ type: "audit-log", ...written }] } };
    const error = await resolveConfig({ store: "none", pools }, { baseDirectory: "/", plugins: [auditLog] }).then(
      () => undefined,
      (thrown: ConfigError) => thrown,
    );
    const paths = error?.issues.map(({ path }) => path).filter((path) => path.includes("policies"));
    expect(paths).toEqual([`pools.files.policies[0].${place}`]);
  });

  test("a file that cannot be opened ends the start", async () => {
    await using folder = await temporaryFolder();
    const opening = openAudited({ pools: files([]), options: { file: "gone/audit.jsonl" }, folder: folder.path });
    await expect(opening).rejects.toThrow(ConfigError);
    await expect(opening).rejects.toThrow(/pools\.files\.policies: the audit log cannot be opened \(ENOENT/);
  });
});
