import { BadRequest } from "./bad-request.ts";

export interface ByteLimits {
  /** Bytes of all requests. */
  readonly total: number;
  /** Bytes of one principal's requests. */
  readonly perPrincipal: number;
}

/** Bytes of one request that are in memory. Disposing of it gives them back. */
export interface ByteLease extends Disposable {
  /** @throws BadRequest where there is no room for them: 413 for a request that never fits, 429 for one that may later. */
  take(bytes: number): void;
}

/** Counts the bytes of requests that have arrived and not been answered, so that they never fill the memory. */
export class ByteBudget {
  readonly #limits: ByteLimits;
  #held = 0;
  /** Principals that hold any. */
  readonly #byPrincipal = new Map<string, number>();

  constructor(limits: ByteLimits) {
    this.#limits = limits;
  }

  get held(): number {
    return this.#held;
  }

  /** @param principal undefined for nobody in particular: such requests count in all only. */
  lease(principal: string | undefined): ByteLease {
    let own = 0;
    return {
      take: (bytes) => {
        this.#check(bytes, own, principal);
        own += bytes;
        this.#add(bytes, principal);
      },
      [Symbol.dispose]: () => {
        this.#add(-own, principal);
        own = 0;
      },
    };
  }

  #check(bytes: number, own: number, principal: string | undefined): void {
    const { total, perPrincipal } = this.#limits;
    const limit = principal === undefined ? total : Math.min(total, perPrincipal);
    if (own + bytes > limit)
      throw new BadRequest(413, -32_000, `The request is larger than ${limit} bytes; see http.requestMemory.`);
    if (principal !== undefined && (this.#byPrincipal.get(principal) ?? 0) + bytes > perPrincipal)
      throw new BadRequest(
        429,
        -32_000,
        `Your requests that are under way have ${perPrincipal} bytes together; wait until some of them have ended. See http.requestMemory.perPrincipal.`,
      );
    if (this.#held + bytes > total)
      throw new BadRequest(
        429,
        -32_000,
        `All requests that are under way have ${total} bytes together; try again in a moment. See http.requestMemory.total.`,
      );
  }

  #add(bytes: number, principal: string | undefined): void {
    this.#held += bytes;
    if (principal === undefined) return;
    const held = (this.#byPrincipal.get(principal) ?? 0) + bytes;
    if (held > 0) this.#byPrincipal.set(principal, held);
    else this.#byPrincipal.delete(principal);
  }
}
