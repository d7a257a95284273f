import { corePlugins, formatIssue, resolveConfig, type ConfigError } from "@davpool/core";
import { memoryStore } from "@davpool/store-memory";
import { roundRobin } from "@davpool/strategy-round-robin";
import { expect, test } from "vitest";
import { webdav } from "./plugin.ts";

/** What a configuration with these servers is refused for. */
async function problems(servers: readonly object[]): Promise<readonly string[]> {
  const declared = servers.map((server, index) => ({ serverId: `s${index}`, ...server }));
  return resolveConfig(
    { store: "memory", pools: { files: { transport: "webdav", servers: declared } } },
    { baseDirectory: "/", plugins: [...corePlugins, webdav, memoryStore, roundRobin] },
  ).then(
    () => [],
    (error: ConfigError) => error.issues.map(formatIssue),
  );
}

const url = "https://dav.example.com/";
const collection = 'must be the http: or https: address of a collection, such as "https://dav.example.com/files/"';

test("what is wrong with declared servers is told when the configuration is checked, all at once", async () => {
  expect(
    await problems([
      { url: "ftp://x/" },
      { url: "not a url" },
      { url: "https://dav.example.com:99999/" },
      { url: "https://alice:secret@dav.example.com/" },
      { url: "https://dav.example.com/?a=b" },
      { url, token: "t", username: "alice" },
      { url, username: "a:b", password: "" },
      { url: "x", username: "alice" },
    ]),
  ).toEqual([
    `pools.files.servers[0].url: ${collection}; got "ftp://x/".`,
    `pools.files.servers[1].url: ${collection}; got "not a url".`,
    `pools.files.servers[2].url: ${collection}; got "https://dav.example.com:99999/".`,
    'pools.files.servers[3].url: must not hold credentials; give username and password as fields of their own; got "https://…@dav.example.com/".',
    'pools.files.servers[4].url: must not have a query or a fragment; give the address of a collection; got "https://dav.example.com/?…".',
    "pools.files.servers[5].token: stands instead of username and password; give one or the other.",
    "pools.files.servers[6].username: must be without a colon: Basic authentication cannot carry one in it.",
    `pools.files.servers[7].url: ${collection}; got "x".`,
    'pools.files.servers[7].username: has no password beside it; give it, as "" if it is empty, or token instead of both.',
  ]);
});

test("what is right is not complained of", async () => {
  expect(
    await problems([
      { url },
      { url: "http://127.0.0.1:8080/dav/" },
      { url, username: "alice", password: { env: "PASSWORD" } },
      { url, username: "alice", password: "" },
      { url, token: { file: "token" } },
    ]),
  ).toEqual([]);
});
