import { Scope } from "./scope.ts";

/** An instance that several users hold together. It is disposed of when the last of them has let go. */
export class Shared<T> {
  readonly value: T;
  readonly #scope = new Scope();
  #users = 0;

  /** @param closing disposes of it; default: what it says itself. */
  constructor(value: T, closing: AsyncDisposable | T = value) {
    this.value = value;
    this.#scope.own(closing);
  }

  /** Holds it until the lease is disposed of. */
  lease(): AsyncDisposable {
    this.#users++;
    let held = true;
    return {
      [Symbol.asyncDispose]: async () => {
        if (!held) return;
        held = false;
        if (--this.#users === 0) await this.#scope[Symbol.asyncDispose]();
      },
    };
  }
}
