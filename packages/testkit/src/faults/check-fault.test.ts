import { expect, test } from "vitest";
import { createMcpServer } from "../mcp/create-mcp-server.ts";
import { createFaultProxy } from "../proxy/fault-proxy.ts";
import { createWebDavServer } from "../server.ts";

const NUMBER = "must be a whole number, 0 or more, not";
const TIME = "must be a number of milliseconds, 0 or more, or Infinity, not";
const PATH = 'must be a path that begins with a slash, such as "/hello.txt" or "/folder/*", not';
const METHODS = 'must be a list of methods, such as ["GET", "PUT"], not';
const HEADERS = "must be an object of header names and texts that HTTP allows, not";
const TURNS = "must be { fail, answer } of whole numbers, fail 1 or more and answer 0 or more, not";

/** A fault as somebody without types may write it. */
type Written = object | string | null | undefined;
/** And how its error begins. */
type Case = readonly [Written, string];

const OF_SERVERS: readonly Case[] = [
  [
    { kind: "status", status: 99 },
    'RangeError: status of the fault "status" must be a whole number from 100 to 999, not 99',
  ],
  [
    { kind: "status", status: "503" },
    "TypeError: status of the fault \"status\" must be a whole number from 100 to 999, not '503'",
  ],
  [
    { kind: "status", status: 500, headers: { "a b": "c" } },
    `TypeError: headers of the fault "status" ${HEADERS} { 'a b': 'c' }`,
  ],
  [
    { kind: "status", status: 500, headers: { a: "b\n" } },
    `TypeError: headers of the fault "status" ${HEADERS} { a: 'b\\n' }`,
  ],
  [
    { kind: "status", status: 500, body: 7 },
    'TypeError: body of the fault "status" must be text or a Uint8Array, not 7',
  ],
  [{ kind: "status", status: 500, path: "hello.txt" }, `TypeError: path of the fault "status" ${PATH} 'hello.txt'`],
  [{ kind: "status", status: 500, methods: "GET" }, `TypeError: methods of the fault "status" ${METHODS} 'GET'`],
  [{ kind: "status", status: 500, methods: [] }, `TypeError: methods of the fault "status" ${METHODS} []`],
  [
    { kind: "status", status: 500, times: 0 },
    'RangeError: times of the fault "status" must be a whole number, 1 or more, or Infinity, not 0',
  ],
  [
    { kind: "blackhole", flapping: { fail: 0, answer: 1 } },
    `TypeError: flapping of the fault "blackhole" ${TURNS} { fail: 0, answer: 1 }`,
  ],
  [
    { kind: "blackhole", applied: "yes" },
    "TypeError: applied of the fault \"blackhole\" must be true or false, not 'yes'",
  ],
  [
    { kind: "blackhole", patth: "/a" },
    "TypeError: the fault \"blackhole\" of a server has no patth ('/a'); it takes applied, times, flapping, methods, path",
  ],
  [{ kind: "truncate" }, `TypeError: afterBytes of the fault "truncate" ${NUMBER} undefined`],
  [{ kind: "truncate", afterBytes: 1.5 }, `RangeError: afterBytes of the fault "truncate" ${NUMBER} 1.5`],
  [
    { kind: "reset", when: "sometime" },
    'TypeError: when of the fault "reset" must be "before-body" or "mid-request" or "after-request" or "mid-body", not \'sometime\'',
  ],
  [
    { kind: "slow-body", bytesPerSecond: 0 },
    'RangeError: bytesPerSecond of the fault "slow-body" must be a finite number above 0, not 0',
  ],
  [
    { kind: "slow-headers", bytesPerSecond: 1, chunkBytes: 0 },
    'RangeError: chunkBytes of the fault "slow-headers" must be a whole number, 1 or more, not 0',
  ],
  [{ kind: "delay", ms: -1 }, `RangeError: ms of the fault "delay" ${TIME} -1`],
  [{ kind: "delay", ms: NaN }, `RangeError: ms of the fault "delay" ${TIME} NaN`],
  [{ kind: "stale-keep-alive", idleMs: "5s" }, `TypeError: idleMs of the fault "stale-keep-alive" ${TIME} '5s'`],
  [{ kind: "refuse", times: 1 }, 'TypeError: the fault "refuse" of a server has no times (1); it takes nothing'],
  [
    { kind: "gremlin" },
    "TypeError: a server has no such fault: { kind: 'gremlin' }; its kinds are refuse, connect-timeout, reset,",
  ],
  [{ kind: "toString" }, "TypeError: a server has no such fault: { kind: 'toString' };"],
  ["reset", "TypeError: a server has no such fault: 'reset';"],
  [undefined, "TypeError: a server has no such fault: undefined;"],
  [null, "TypeError: a server has no such fault: null;"],
];

const OF_PROXIES: readonly Case[] = [
  [
    { kind: "reset", when: "mid-body" },
    "TypeError: the fault \"reset\" of a proxy has no when ('mid-body'); it takes afterBytes, direction, times, flapping",
  ],
  [{ kind: "half-open", afterBytes: -1 }, `RangeError: afterBytes of the fault "half-open" ${NUMBER} -1`],
  [
    { kind: "half-open", direction: "sideways" },
    'TypeError: direction of the fault "half-open" must be "up" or "down" or "both", not \'sideways\'',
  ],
  [
    { kind: "blackhole", reads: "some" },
    'TypeError: reads of the fault "blackhole" must be "everything" or "nothing", not \'some\'',
  ],
  [
    { kind: "bandwidth", bytesPerSecond: 0 },
    'RangeError: bytesPerSecond of the fault "bandwidth" must be a finite number above 0, not 0',
  ],
  [{ kind: "slicer" }, 'TypeError: bytes of the fault "slicer" must be a whole number, 1 or more, not undefined'],
  [{ kind: "latency", ms: "1s" }, `TypeError: ms of the fault "latency" ${TIME} '1s'`],
  [
    { kind: "status", status: 500 },
    "TypeError: a proxy has no such fault: { kind: 'status', status: 500 }; its kinds are refuse,",
  ],
];

const OF_MCP_SERVERS: readonly Case[] = [
  [{ kind: "crash" }, `TypeError: after of the fault "crash" ${NUMBER} undefined`],
  [{ kind: "hang", on: "calls" }, 'TypeError: on of the fault "hang" must be "initialize" or "call", not \'calls\''],
  [
    { kind: "long-line", bytes: 0 },
    'RangeError: bytes of the fault "long-line" must be a whole number, 1 or more, not 0',
  ],
  [{ kind: "wrong-answer" }, 'TypeError: text of the fault "wrong-answer" must be text, not undefined'],
  [
    { kind: "error", code: 1.5, message: "no" },
    'RangeError: code of the fault "error" must be a whole number, not 1.5',
  ],
];

const OVER_STDIO: readonly Case[] = [
  [
    { kind: "exit-at-once", code: 256 },
    'RangeError: code of the fault "exit-at-once" must be a whole number from 0 to 255, not 256',
  ],
  [
    { kind: "status", status: 500 },
    "TypeError: a fake MCP server over stdio has no such fault: { kind: 'status', status: 500 };",
  ],
];

const OVER_HTTP: readonly Case[] = [
  [
    { kind: "status", status: 42 },
    'RangeError: status of the fault "status" must be a whole number from 100 to 999, not 42',
  ],
  [
    { kind: "cut", when: "later" },
    'TypeError: when of the fault "cut" must be "before-head" or "in-stream", not \'later\'',
  ],
  [{ kind: "stubborn" }, "TypeError: a fake MCP server over HTTP has no such fault: { kind: 'stubborn' };"],
];

function thrownBy(inject: () => unknown): string {
  try {
    inject();
    return "nothing";
  } catch (error) {
    return String(error);
  }
}

test.each(OF_SERVERS)("a server refuses %j", async (fault, message) => {
  await using server = await createWebDavServer();
  server.tree.write("/hello.txt", "hello");
  expect(await server.inject(fault as never).catch(String)).toContain(message);
  expect(await (await fetch(`${server.url}hello.txt`)).text()).toBe("hello");
});

test.each(OF_PROXIES)("a proxy refuses %j", async (fault, message) => {
  await using proxy = await createFaultProxy({ target: 9 });
  expect(await proxy.inject(fault as never).catch(String)).toContain(message);
});

test.each([...OF_MCP_SERVERS, ...OVER_STDIO])("a fake MCP server over stdio refuses %j", async (fault, message) => {
  await using server = await createMcpServer({ transport: "stdio" });
  expect(thrownBy(() => server.inject(fault as never))).toContain(message);
});

test.each([...OF_MCP_SERVERS, ...OVER_HTTP])("a fake MCP server over HTTP refuses %j", async (fault, message) => {
  await using server = await createMcpServer({ transport: "http" });
  expect(thrownBy(() => server.inject(fault as never))).toContain(message);
});

test("a fake MCP server does not begin with a fault that it would refuse", async () => {
  const faults = [{ kind: "crash" } as never];
  expect(await createMcpServer({ transport: "stdio", faults }).catch(String)).toContain("after of the fault");
});

test("a field that is undefined counts as left out", async () => {
  await using server = await createWebDavServer();
  await using fault = await server.inject({ kind: "status", status: 500, times: undefined, note: undefined } as never);
  expect((await fetch(server.url)).status).toBe(500);
  expect(fault.hits).toBe(1);
});
