import { describe, expect, test } from "vitest";
import { JsonBody } from "./json-body.ts";

async function parse(text: string | Buffer, chunkSize: number): Promise<unknown> {
  const bytes = Buffer.from(text as string);
  const body = new JsonBody();
  for (let at = 0; at < bytes.length; at += chunkSize) body.push(bytes.subarray(at, at + chunkSize));
  return body.parse();
}

const LONG = 'a\\\n"ü😀\u2028\u0000'.repeat(20_000);
const large = {
  method: "x",
  first: LONG,
  list: [LONG, "short", "", 1.5, null, true, { deep: { er: "b".repeat(2_000_000) } }],
  ["__proto__x"]: "\ud83d".repeat(300_000),
};

describe("a large body", () => {
  test.each([1_021, 65_536, 10_000_000])("in chunks of %i bytes says what JSON.parse says", async (chunkSize) => {
    for (const text of [JSON.stringify(large), JSON.stringify(large, undefined, 2)])
      expect(await parse(text, chunkSize)).toEqual(JSON.parse(text));
  });

  test("may write every character as an escape, and be cut in the middle of each", async () => {
    const escaped = Array.from(
      { length: 60_000 },
      (_, at) => `\\u${LONG.charCodeAt(at).toString(16).padStart(4, "0")}`,
    );
    const text = `{"a":"${"\\\\".repeat(300_000)}","b":"${escaped.join("").repeat(4)}"}`;
    for (const chunkSize of [997, 998, 999, 1_000, 1_001])
      expect(await parse(text, chunkSize)).toEqual(JSON.parse(text));
  });

  test("may be one text", async () => {
    expect(await parse(JSON.stringify("x".repeat(3_000_000)), 65_536)).toBe("x".repeat(3_000_000));
  });

  test("may have a name that objects inherit", async () => {
    const text = `{"__proto__":"${"x".repeat(2_000_000)}"}`;
    const found = (await parse(text, 65_536)) as object;
    expect(Object.getPrototypeOf(found)).toBe(Object.prototype);
    expect(Object.hasOwn(found, "__proto__")).toBe(true);
  });

  test.each([
    ["an unfinished text", `{"a":"${"x".repeat(2_000_000)}`],
    ["a bad escape", `{"a":"${"x".repeat(2_000_000)}\\q"}`],
    ["a control character", `{"a":"${"x".repeat(2_000_000)}\n"}`],
    ["half an escape", `{"a":"${"x".repeat(2_000_000)}\\u12"}`],
    ["something behind it", `{"a":"${"x".repeat(2_000_000)}"}}`],
    ["two texts in a row", `["${"x".repeat(2_000_000)}""${"y".repeat(2_000)}"]`],
  ])("with %s is no JSON", async (_what, text) => {
    await expect(parse(text, 65_536)).rejects.toMatchObject({ status: 400, code: -32_700 });
  });

  test.each([
    ["a name of two megabytes", `{"${"x".repeat(2_000_000)}":1}`, 400],
    ["nine megabytes of spaces", `{"a":1${" ".repeat(9 * 2 ** 20)}}`, 413],
    ["a number of nine megabytes", `{"a":${"1".repeat(9 * 2 ** 20)}}`, 413],
  ])("with %s is refused", async (_what, text, status) => {
    await expect(parse(text, 65_536)).rejects.toMatchObject({ status });
  });
});

test("a small body is parsed as it is", async () => {
  expect(await parse('{"a":[1,"ü"]}', 3)).toEqual({ a: [1, "ü"] });
  await expect(parse("", 1)).rejects.toMatchObject({ code: -32_700 });
  await expect(parse('{"a":"', 1)).rejects.toMatchObject({ code: -32_700 });
});
