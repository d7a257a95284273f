import "reflect-metadata";
import { container as root, type DependencyContainer } from "tsyringe";
import { ServiceMissingError } from "../errors/plugin-errors.ts";

declare const carried: unique symbol;

/** A name under which one service of type `T` is found. */
export type Token<T> = symbol & { readonly [carried]?: (value: T) => T };

/**
 * Makes a token. Two copies of a package that use the same name mean the same service.
 * @param name `owner:thing`, such as `davpool:clock`.
 */
export function token<T>(name: `${string}:${string}`): Token<T> {
  return Symbol.for(name);
}

/** What a plugin may ask for. */
export interface Services {
  /** @throws ServiceMissingError naming the token when nobody provides it. */
  get<T>(token: Token<T>): T;
  has(token: symbol): boolean;
  /** Every service under this name, in the order in which they were provided. */
  all<T>(token: Token<T>): readonly T[];
}

/**
 * A container for one pool, or the one above all pools. It holds finished instances only: who creates them, and in
 * which order, is written where they are created, not discovered by resolving.
 *
 * Disposal is kept here and not left to the container, which does not know instances that were registered as values.
 */
export class Scope implements Services, AsyncDisposable {
  readonly #container: DependencyContainer;
  readonly #owned: (() => unknown)[] = [];

  constructor(parent?: Scope) {
    this.#container = (parent ? parent.#container : root).createChildContainer();
  }

  /** A scope that sees everything in this one, and whose own services this one does not see. */
  child(): Scope {
    return new Scope(this);
  }

  /** Registers an instance and takes charge of disposing of it, newest first. */
  provide<T>(token: Token<T>, instance: T): T {
    this.#container.register(token, { useValue: instance });
    return this.own(instance);
  }

  /** Registers an instance that somebody else disposes of. */
  lend<T>(token: Token<T>, instance: T): void {
    this.#container.register(token, { useValue: instance });
  }

  /** Takes charge of an instance that has no token. */
  own<T>(instance: T): T {
    const disposable = instance as Partial<AsyncDisposable & Disposable> | null | undefined;
    if (typeof disposable?.[Symbol.asyncDispose] === "function")
      this.#owned.push(() => disposable[Symbol.asyncDispose]?.());
    else if (typeof disposable?.[Symbol.dispose] === "function") this.#owned.push(() => disposable[Symbol.dispose]?.());
    return instance;
  }

  get<T>(token: Token<T>): T {
    if (!this.has(token)) throw new ServiceMissingError(token.description ?? String(token));
    return this.#container.resolve<T>(token);
  }

  has(token: symbol): boolean {
    return this.#container.isRegistered(token, true);
  }

  all<T>(token: Token<T>): readonly T[] {
    return this.has(token) ? this.#container.resolveAll<T>(token) : [];
  }

  /** Disposes of everything, even when some of it fails; then throws what failed. */
  async [Symbol.asyncDispose](): Promise<void> {
    const failures: unknown[] = [];
    for (let dispose = this.#owned.pop(); dispose; dispose = this.#owned.pop()) {
      try {
        await dispose();
      } catch (error) {
        failures.push(error);
      }
    }
    await this.#container.dispose();
    if (failures.length === 1) throw failures[0];
    if (failures.length > 1) throw new AggregateError(failures, "Several parts could not be closed.");
  }
}
