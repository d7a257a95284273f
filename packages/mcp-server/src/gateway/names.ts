import { createHash } from "node:crypto";

/** Characters that a name may have so that every client takes it. */
const LONGEST = 64;
/** Characters of the mark that tells names apart. */
const MARK = 8;
const SEPARATOR = "__";

/** What stands in front of the names of a pool's tools and prompts, as clients see it. */
export function shownPrefix(pool: string): string {
  return plainly(pool + SEPARATOR);
}

function plainly(name: string): string {
  return name.replaceAll(/[^\w-]/g, "-");
}

/**
 * Names under which clients see what servers offer: `[A-Za-z0-9_-]{1,64}`, each once. A name is never taken apart again;
 * whoever makes a table of them keeps what each stands for.
 */
export class Names {
  readonly #taken = new Set<string>();

  /**
   * @param pool the pool's name in front; undefined where names stay as they are.
   * @param name as the server calls it: any text at all.
   */
  take(pool: string | undefined, name: string): string {
    const whole = pool === undefined ? name : pool + SEPARATOR + name;
    const plain = plainly(whole);
    let taken = plain;
    // What had to be changed has a mark: its name must not depend on whether another server has what looks the same now.
    if (plain.length === 0 || plain.length > LONGEST || plainly(name) !== name || this.#taken.has(plain))
      taken = marked(plain, whole);
    for (let again = 1; this.#taken.has(taken); again++) taken = marked(plain, `${again} ${whole}`);
    this.#taken.add(taken);
    return taken;
  }

  /** Nobody else gets this name. */
  reserve(name: string): void {
    this.#taken.add(name);
  }
}

function marked(plain: string, whole: string): string {
  const mark = createHash("sha256").update(whole).digest("hex").slice(0, MARK);
  return `${plain.slice(0, LONGEST - MARK - 1)}_${mark}`;
}
