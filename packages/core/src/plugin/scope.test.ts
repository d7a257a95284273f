import { describe, expect, expectTypeOf, test } from "vitest";
import { Scope, token } from "./scope.ts";

const NUMBER = token<number>("test:number");
const THING = token<object>("test:thing");

describe("a scope", () => {
  test("gives what was provided, typed", () => {
    const scope = new Scope();
    expect(scope.provide(NUMBER, 1)).toBe(1);
    expect(scope.get(NUMBER)).toBe(1);
    expectTypeOf(scope.get(NUMBER)).toEqualTypeOf<number>();
    expect([scope.has(NUMBER), scope.has(THING)]).toEqual([true, false]);
    expect(() => scope.get(THING)).toThrow("test:thing");
  });

  test("sees what is above it and not what is below or beside it", () => {
    const root = new Scope();
    const one = root.child();
    const other = root.child();
    root.provide(NUMBER, 1);
    one.provide(NUMBER, 2);
    one.provide(THING, {});
    expect([root.get(NUMBER), one.get(NUMBER), other.get(NUMBER)]).toEqual([1, 2, 1]);
    expect([root.has(THING), one.has(THING), other.has(THING), other.has(NUMBER)]).toEqual([false, true, false, true]);
  });

  test("shares nothing with another one", () => {
    const one = new Scope();
    one.provide(NUMBER, 1);
    expect(new Scope().has(NUMBER)).toBe(false);
  });

  test("disposes of what it was given, newest first, and awaits each", async () => {
    const order: string[] = [];
    const scope = new Scope();
    const late = (name: string): AsyncDisposable => ({
      async [Symbol.asyncDispose]() {
        await Promise.resolve();
        order.push(name);
      },
    });
    scope.provide(THING, late("first"));
    scope.own({ [Symbol.dispose]: () => void order.push("second") });
    scope.own(scope.child()).own(late("in the child"));
    scope.own(late("third"));
    scope.own(null);
    scope.own("nothing to dispose of");
    await scope[Symbol.asyncDispose]();
    await scope[Symbol.asyncDispose]().catch(() => undefined);
    expect(order).toEqual(["third", "in the child", "second", "first"]);
  });

  test("disposes of the rest when something cannot be disposed of, then says what", async () => {
    const failing = (message: string) => ({
      [Symbol.dispose]() {
        throw new Error(message);
      },
    });
    const order: string[] = [];
    const one = new Scope();
    one.own({ [Symbol.dispose]: () => void order.push("rest") });
    one.own(failing("one"));
    await expect(one[Symbol.asyncDispose]()).rejects.toThrow("one");
    expect(order).toEqual(["rest"]);
    const two = new Scope();
    two.own(failing("one"));
    two.own(failing("two"));
    await expect(two[Symbol.asyncDispose]()).rejects.toThrow("Several parts could not be closed.");
  });
});

test("two copies of a package mean the same service by the same name", () => {
  expect(token("test:number")).toBe(NUMBER);
});
