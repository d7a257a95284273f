import {
  ENVIRONMENT,
  Scope,
  TRANSPORT,
  createManualClock,
  type PluginContext,
  type StoreOptions,
  type StoredState,
  type Transport,
} from "@davpool/core";
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, expectTypeOf, test } from "vitest";
import { FileStore, fileStore } from "./index.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "davpool-plugin-"));
});

afterEach(() => rm(folder, { recursive: true }));

function context(environment: Record<string, string> = {}, more: Partial<PluginContext> = {}): PluginContext {
  const services = new Scope();
  services.provide(ENVIRONMENT, environment);
  return {
    pool: "files",
    primary: true,
    clock: createManualClock(),
    random: Math.random,
    log: { debug() {}, info() {}, warn() {}, error() {} },
    services,
    baseDirectory: folder,
    ...more,
  };
}

const activating = (state: StoredState) => ({ ...state, activeServerId: "eu" });

test("is a plugin of kind store, named file", () => {
  expect(fileStore).toMatchObject({ kind: "store", name: "file" });
  expect(fileStore.create(context(), {})).toBeInstanceOf(FileStore);
  expectTypeOf<StoreOptions["file"]>().toEqualTypeOf<{ readonly path?: string }>();
});

test.each([
  ["servers.json without anything", {}, {}, "servers.json"],
  ["servers.json when the variable is empty", { DAV_SERVERS_FILE: "" }, {}, "servers.json"],
  ["what DAV_SERVERS_FILE says", { DAV_SERVERS_FILE: "from/environment.json" }, {}, "from/environment.json"],
  ["the option before the variable", { DAV_SERVERS_FILE: "x.json" }, { path: "./option.json" }, "option.json"],
])("writes to %s, counted from the configuration's folder", async (_what, environment, options, file) => {
  await using store = fileStore.create(context(environment), options);
  await store.update(activating);
  expect(JSON.parse(await readFile(join(folder, file), "utf8"))).toMatchObject({ activeServerId: "eu" });
});

test("an absolute path counts from nowhere", async () => {
  const file = join(folder, "absolute.json");
  await using store = fileStore.create(context({}, { baseDirectory: "/nowhere" }), { path: file });
  await store.update(activating);
  expect(await readdir(folder)).toContain("absolute.json");
});

test("the first pool has the top level, another one its own section", async () => {
  await using first = fileStore.create(context(), {});
  await using second = fileStore.create(context({}, { pool: "media", primary: false }), {});
  await first.update(activating);
  await second.update((state) => ({ ...state, activeServerId: "us" }));
  expect(JSON.parse(await readFile(join(folder, "servers.json"), "utf8"))).toEqual({
    version: 1,
    pool: "files",
    activeServerId: "eu",
    servers: [],
    pools: { media: { activeServerId: "us", servers: [] } },
  });
});

test("encrypts with DAVPOOL_SECRET_KEY", async () => {
  const secrets = { password: "s3cret" };
  await using store = fileStore.create(context({ DAVPOOL_SECRET_KEY: "0123456789-abcdefghijklmnopqrstuvwxyz" }), {});
  await store.update((state) => ({ ...state, servers: [{ serverId: "eu", profile: {}, secrets }] }));
  expect(await readFile(join(folder, "servers.json"), "utf8")).not.toContain("s3cret");
  await using again = fileStore.create(context({ DAVPOOL_SECRET_KEY: "0123456789-abcdefghijklmnopqrstuvwxyz" }), {});
  expect((await again.load()).servers[0]?.secrets).toEqual(secrets);
});

test.each([
  ["the transport says", ["apiKey"], { apiKey: "a" }],
  ["are usual without a transport", undefined, { password: "p", token: "t" }],
])("takes fields for secret that %s", async (_what, secretFields, secrets) => {
  await mkdir(folder, { recursive: true });
  await writeFile(
    join(folder, "servers.json"),
    JSON.stringify({ servers: [{ serverId: "eu", url: "u", ...secrets }] }),
  );
  const services = new Scope();
  services.provide(ENVIRONMENT, {});
  if (secretFields) services.provide(TRANSPORT, { secretFields } as unknown as Transport);
  await using store = fileStore.create(context({}, { services }), {});
  expect((await store.load()).servers).toEqual([{ serverId: "eu", profile: { url: "u" }, secrets }]);
});
