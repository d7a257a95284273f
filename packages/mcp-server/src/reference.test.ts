import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { configurationSchema } from "./configuration.ts";

interface Schema {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
}

const page = readFileSync(new URL("../../../docs/reference/configuration.md", import.meta.url), "utf8");

/** Each field, wherever in the schema it stands, and what is said of it. */
function fieldsIn(schema: unknown): readonly (readonly [string, string | undefined])[] {
  if (typeof schema !== "object" || schema === null) return [];
  const own = Object.entries((schema as Schema).properties ?? {}).map(
    ([name, field]) => [name, field.description] as const,
  );
  return [...own, ...Object.values(schema).flatMap(fieldsIn)];
}

test("the reference tells of every field of the configuration", async () => {
  const rows = page.split("\n").filter((line) => line.startsWith("| `"));
  const missing = fieldsIn(await configurationSchema({ directory: "/" })).filter(
    ([name, description]) =>
      description !== undefined &&
      name !== "$schema" &&
      !rows.some((row) => row.startsWith(`| \`${name}\` |`) && row.includes(description.replaceAll("|", "\\|"))),
  );
  expect(missing).toEqual([]);
});

test("every transport is named", () => {
  expect(page).toContain('| `transport` | `"mcp"`, `"webdav"` or object | required |');
});
