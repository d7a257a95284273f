import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { newerOverHttp, olderOverHttp } from "./testing/sdk-http.test-support.ts";
import { openPool, textOf } from "./testing/pool.test-support.ts";

/* Servers made with both lines of the official SDK. */

const OLDER = fileURLToPath(new URL("testing/sdk-v1-stdio.test-support.ts", import.meta.url));
const NEWER = fileURLToPath(new URL("testing/sdk-v2-stdio.test-support.ts", import.meta.url));
const program = (file: string) => ({ command: [process.execPath, file] });
const nothing = { [Symbol.asyncDispose]: () => Promise.resolve() };

const SERVERS = {
  "older over stdio": () => Promise.resolve({ ...nothing, profile: program(OLDER) }),
  "newer over stdio": () => Promise.resolve({ ...nothing, profile: program(NEWER) }),
  "older over HTTP": async () => {
    const server = await olderOverHttp();
    return { [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](), profile: { url: server.url } };
  },
  "newer over HTTP": async () => {
    const server = await newerOverHttp();
    return { [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](), profile: { url: server.url } };
  },
};

test.each(Object.entries(SERVERS))("%s", async (name, start) => {
  await using server = await start();
  for (const era of name.startsWith("newer") ? ["auto", "legacy", "modern"] : ["auto", "legacy"]) {
    await using open = await openPool([{ ...server.profile, era }]);
    const { value } = await open.pool.execute({ method: "tools/list" });
    const tools = value.result?.["tools"] as readonly { name: string; annotations?: object }[];
    expect(tools.map((tool) => tool.name)).toEqual(["greet", "break"]);
    expect(tools[0]?.annotations).toMatchObject({ readOnlyHint: true });
    const answers = await Promise.all(
      Array.from({ length: 5 }, () => open.pool.execute({ method: "tools/call", params: { name: "greet" } })),
    );
    for (const answer of answers) expect(textOf(answer.value)).toBe(`hello from the ${name.split(" ")[0]} SDK`);
    const broken = await open.pool.execute({ method: "tools/call", params: { name: "break" } });
    expect(broken.value.result).toMatchObject({ isError: true });
    const prompts = await open.pool.execute({ method: "prompts/list" });
    expect(prompts.value.error).toMatchObject({ code: -32_601 });
  }
});

test("a server that forgot its sessions and says so with a 400 gets a new one", async () => {
  await using server = await olderOverHttp();
  await using open = await openPool([{ url: server.url }]);
  for (let n = 0; n < 2; n++) {
    const { value, attempts } = await open.pool.execute({ method: "tools/call", params: { name: "greet" } });
    expect([textOf(value), attempts.length]).toEqual(["hello from the older SDK", 1]);
    server.forget();
  }
});

test("a server made with an SDK whose era is insisted on and is another one says so", async () => {
  await using open = await openPool([{ ...program(OLDER), era: "modern" }]);
  await expect(open.pool.execute({ method: "tools/list" })).rejects.toThrow(/did not offer pinned protocol version/);
});
