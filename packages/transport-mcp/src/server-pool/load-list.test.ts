import { expect, test } from "vitest";
import { loadList } from "./load-list.ts";

const tool = (name: string) => ({ name, inputSchema: { type: "object" } });

/** The list of a server whose pages are made by this; with what was warned of, and how often it was asked. */
async function listOf(page: (cursor: string | undefined, count: number) => { tools: object[]; nextCursor?: string }) {
  const warnings: string[] = [];
  let asked = 0;
  const execute = async ({ params }: { params?: Readonly<Record<string, unknown>> }) =>
    Promise.resolve({
      value: { result: page(params?.["cursor"] as string | undefined, ++asked) },
      serverId: "s1",
      attempts: [],
    });
  const list = await loadList({ execute }, "s1", "tools", (problem) => void warnings.push(problem));
  return { list, warnings, asked };
}

test("pages are put together", async () => {
  const { list, warnings } = await listOf((cursor) =>
    cursor === undefined ? { tools: [tool("a")], nextCursor: "2" } : { tools: [tool("b")] },
  );
  expect([list, warnings]).toEqual([[tool("a"), tool("b")], []]);
});

test.each([
  ["stands still", () => "same"],
  ["goes round", (count: number) => String(count % 3)],
])("of a server whose cursor %s, the pages that came are used, with a warning", async (_how, cursor) => {
  const { list, warnings, asked } = await listOf((_cursor, count) => ({
    tools: [tool(`t${count}`)],
    nextCursor: cursor(count),
  }));
  expect(asked).toBeLessThan(6);
  expect(list).toHaveLength(asked);
  expect(warnings).toEqual([expect.stringContaining('server "s1" names a page for the second time')]);
});

test("of a list without end, so many entries are used, with a warning", async () => {
  const { list, warnings } = await listOf((_cursor, count) => ({
    tools: Array.from({ length: 1_000 }, (_none, index) => tool(`${count}-${index}`)),
    nextCursor: String(count),
  }));
  expect(list).toHaveLength(11_000);
  expect(warnings).toEqual([expect.stringContaining("has more than 10000 entries")]);
});
