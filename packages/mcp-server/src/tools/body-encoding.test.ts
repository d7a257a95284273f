import { describe, expect, test } from "vitest";
import { decodeBody, encodeBody } from "./body-encoding.ts";

describe("a cut through a character", () => {
  const text = "aé€😀";
  const bytes = Buffer.from(text);
  test.each(Array.from({ length: bytes.length + 1 }, (_, size) => size))(
    "after %i bytes leaves whole characters",
    (size) => {
      const { body, bodyEncoding, shown } = encodeBody(bytes.subarray(0, size), true);
      expect(bodyEncoding).toBe("utf8");
      expect(text.startsWith(body)).toBe(true);
      expect(shown).toBe(Buffer.byteLength(body));
      expect(size - shown).toBeLessThan(4);
    },
  );
});

test("bytes that are no text stay what they are", () => {
  expect(encodeBody(Uint8Array.of(0x80, 0x80, 0x80, 0x80), true).bodyEncoding).toBe("base64");
  expect(encodeBody(Uint8Array.of(0xc3), false).bodyEncoding).toBe("base64");
});

test("base64 may be folded, and must be base64", async () => {
  expect(Buffer.from(await decodeBody("t", "aGVs\nbG8=", "base64")).toString()).toBe("hello");
  expect(() => decodeBody("t", "a", "base64")).toThrow(/not base64/);
  expect(() => decodeBody("t", "ä", "base64")).toThrow(/not base64/);
});

test.each([
  ["text", "utf8", "x".repeat(2 ** 20 - 1) + "😀".repeat(2 ** 20)],
  ["base64", "base64", `${"YWJj".repeat(2 ** 18)}\n${"YWJj".repeat(2 ** 18)}YQ==\n`],
] as const)("a large body of %s is decoded piece by piece into the same bytes", async (_what, encoding, body) => {
  const whole = Buffer.from(encoding === "utf8" ? body : body.replaceAll("\n", ""), encoding);
  expect(whole.equals(await decodeBody("t", body, encoding))).toBe(true);
});

test("a large body that is no base64 is refused", async () => {
  const good = "YWJj".repeat(2 ** 19);
  for (const body of [`${good}=YWJj`, `${good}Y`, `Y=${good}`, `${good}ä`])
    await expect(decodeBody("t", body, "base64")).rejects.toThrow(/not base64/);
});
