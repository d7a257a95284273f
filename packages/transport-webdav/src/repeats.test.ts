import { readFileSync } from "node:fs";
import { createFaultProxy } from "@davpool/testkit";
import {
  missingProgram,
  startApache,
  startLighttpd,
  startNginx,
  startRclone,
  startSabre,
  type RealServer,
} from "@davpool/testkit/real-servers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openPool } from "./testing/pool.test-support.ts";
import type { WebDavRequest } from "./wire.ts";

const LOCKINFO = `<?xml version="1.0"?><lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>`;
const XML = { "Content-Type": "application/xml" };

interface Case {
  /** As the table in the README calls it. */
  readonly name: string;
  readonly request: WebDavRequest;
  /** What the pool tells when the answer is lost. */
  readonly told: readonly (number | string)[];
}

/** In a folder of their own for each use. */
const casesIn = (folder: string, token = ""): readonly Case[] => [
  { name: "PUT", request: { method: "PUT", path: `${folder}/put`, body: "text" }, told: [201, 204] },
  {
    name: "PUT, `If-None-Match: *`",
    request: { method: "PUT", path: `${folder}/new`, body: "text", headers: { "If-None-Match": "*" } },
    told: [201, 204],
  },
  { name: "DELETE", request: { method: "DELETE", path: `${folder}/delete` }, told: [204] },
  { name: "MKCOL", request: { method: "MKCOL", path: `${folder}/mkcol/` }, told: [201, 204] },
  ...["MOVE", "COPY"].flatMap((method) => [
    {
      name: `${method} of a file`,
      request: { method, path: `${folder}/${method}`, headers: { Destination: `${folder}/${method} 2` } },
      told: [204],
    },
    {
      name: `${method} of a folder`,
      request: {
        method,
        path: `${folder}/${method} folder/`,
        headers: { Destination: `${folder}/${method} folder 2/` },
      },
      told: [204],
    },
  ]),
  {
    name: "LOCK",
    request: { method: "LOCK", path: `${folder}/lock`, headers: { ...XML, Depth: "0" }, body: LOCKINFO },
    told: ["OUTCOME_UNKNOWN"],
  },
  {
    name: "UNLOCK",
    request: { method: "UNLOCK", path: `${folder}/unlock`, headers: { "Lock-Token": token } },
    told: [204],
  },
];
const NAMES = casesIn("").map(({ name }) => name);

/** Asks the server through a pool; resolves with the status or the error's code. */
async function openAt(url: string) {
  const open = await openPool([], { servers: [{ serverId: "real", url, timeout: 20_000, retryAttempts: 2 }] });
  return {
    async ask(request: WebDavRequest) {
      try {
        const { value, attempts } = await open.pool.execute(request);
        value.body.discard();
        return { told: value.status, attempts: attempts.length, token: String(value.headers["lock-token"]) };
      } catch (error) {
        return { told: (error as { code: string }).code, attempts: 1, token: "" };
      }
    },
    [Symbol.asyncDispose]: () => open[Symbol.asyncDispose](),
  };
}

/** Makes what the cases need, in a new folder. */
async function prepare(url: string, folder: string): Promise<readonly Case[]> {
  await using open = await openAt(url);
  const { ask } = open;
  await ask({ method: "MKCOL", path: `${folder}/` });
  for (const name of ["delete", "MOVE", "COPY", "lock", "unlock"])
    await ask({ method: "PUT", path: `${folder}/${name}`, body: name });
  for (const name of ["MOVE folder", "COPY folder"]) {
    await ask({ method: "MKCOL", path: `${folder}/${name}/` });
    await ask({ method: "PUT", path: `${folder}/${name}/file`, body: name });
  }
  const { token } = await ask({
    method: "LOCK",
    path: `${folder}/unlock`,
    headers: { ...XML, Depth: "0" },
    body: LOCKINFO,
  });
  return casesIn(folder, token);
}

/** The column of a server in the README's table of answers to a repeat. */
function documented(server: string): readonly string[] {
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  const rows = readme.split("\n").filter((line) => line.startsWith("|"));
  const cells = rows.map((row) =>
    row
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
  const head = cells.find((row) => row.includes(server)) ?? [];
  return NAMES.map((name) => cells.find(([first]) => first === name)?.[head.indexOf(server)] ?? "missing");
}

describe.each([
  ["Apache", "apache2", startApache],
  ["nginx", "nginx", startNginx],
  ["lighttpd", "lighttpd", startLighttpd],
  ["rclone", "rclone", startRclone],
  ["sabre/dav", "php", startSabre],
] as const)("%s", (name, program, start) => {
  describe.skipIf(missingProgram(program))("when the answer is lost", () => {
    let server: RealServer;
    let cases: readonly Case[];
    beforeAll(async () => {
      server = await start();
      cases = await prepare(server.url, "/lost");
    });
    afterAll(() => server[Symbol.asyncDispose]());

    test.each(NAMES)("%s that was done is told as done", async (which) => {
      const { request, told } = cases.find((each) => each.name === which) as Case;
      await using proxy = await createFaultProxy({ target: server.url });
      await proxy.inject({ kind: "reset", times: 1 });
      await using open = await openAt(proxy.url);
      const result = await open.ask(request);
      expect(told).toContain(result.told);
      if (result.told !== "OUTCOME_UNKNOWN") expect(result.attempts).toBeGreaterThan(1);
    });

    test("a repeat is answered as the README says", async () => {
      await using open = await openAt(server.url);
      const answers: string[] = [];
      for (const { request } of await prepare(server.url, "/twice")) {
        await open.ask(request);
        answers.push(String((await open.ask(request)).told));
      }
      expect(answers).toEqual(documented(name));
    });
  });
});
