import { createManualClock } from "@davpool/core";
import { expect, test } from "vitest";
import { fullAccess } from "./access.ts";
import { VerifiedTokens } from "./verified-tokens.ts";

const principal = (name: string) => ({ principal: { name, access: fullAccess } });

test("tokens are kept for five minutes", () => {
  const clock = createManualClock();
  const tokens = new VerifiedTokens(clock);
  tokens.keep("a", principal("alice"));
  clock.advance(299_999);
  expect(tokens.find("a")?.principal.name).toBe("alice");
  clock.advance(1);
  expect(tokens.find("a")).toBeUndefined();
  expect(tokens.size).toBe(0);
});

test("of too many, those unused for longest are forgotten", () => {
  const tokens = new VerifiedTokens(createManualClock());
  for (let index = 0; index < 10_000; index++) tokens.keep(`t${index}`, principal("alice"));
  tokens.find("t0");
  tokens.keep("one more", principal("bob"));
  expect(tokens.size).toBe(10_000);
  expect(tokens.find("t0")).toBeDefined();
  expect(tokens.find("t1")).toBeUndefined();
});
