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

test("base64 may be folded, and must be base64", () => {
  expect(Buffer.from(decodeBody("t", "aGVs\nbG8=", "base64")).toString()).toBe("hello");
  expect(() => decodeBody("t", "a", "base64")).toThrow(/not base64/);
  expect(() => decodeBody("t", "ä", "base64")).toThrow(/not base64/);
});
