import { stripVTControlCharacters } from "node:util";
import { expect, test } from "vitest";
import { cut, table, type Cell, type Column } from "./table.ts";

const columns: readonly Column[] = [{ title: "NAME" }, { title: "SIZE", align: "right" }, { title: "NOTE" }];
const rows: readonly (readonly Cell[])[] = [
  ["a", "7", ""],
  ["longer", "12345", "all is well"],
];

test("columns are aligned, and no line ends in spaces", () => {
  expect(table(columns, rows)).toBe(
    ["NAME     SIZE  NOTE", "a           7", "longer  12345  all is well", ""].join("\n"),
  );
});

test("without rows there are the titles", () => {
  expect(table(columns, [])).toBe("NAME  SIZE  NOTE\n");
});

test("lines are cut at the edge of a screen", () => {
  const at = (width: number) => table(columns, rows, { columns: width, colours: false });
  expect(at(22)).toBe(["NAME     SIZE  NOTE", "a           7", "longer  12345  all is…", ""].join("\n"));
  expect(at(16)).toBe(["NAME     SIZE  N…".slice(0, 15) + "…", "a           7", "longer  12345  …", ""].join("\n"));
  for (let width = 1; width < 30; width++)
    for (const line of at(width).split("\n")) expect(line.length).toBeLessThanOrEqual(width);
});

test("characters that take two places count as two", () => {
  expect(
    table(
      [{ title: "A" }, { title: "B" }],
      [
        ["東京", "x"],
        ["é", "y"],
        ["🚀", "z"],
      ],
    ),
  ).toBe(["A     B", "東京  x", "é     y", "🚀    z", ""].join("\n"));
  expect(cut("東京都", 5)).toBe("東京…");
});

test("what a server says cannot move the cursor or begin a line", () => {
  expect(table([{ title: "A" }], [["a\u001b[2Jb\r\nc\u202ed\u0007"]])).toBe("A\na [2Jb c d\n");
});

test("colours are for screens that want them, and leave the columns where they are", () => {
  const coloured: readonly Cell[][] = [[{ text: "a", colour: "green" }, "1", "x"]];
  const text = table(columns, coloured, { columns: 80, colours: true });
  expect(text).toContain("\u001b[32ma");
  expect(stripVTControlCharacters(text)).toBe(table(columns, coloured));
  expect(table(columns, coloured, { columns: 80, colours: false })).toBe(table(columns, coloured));
});
