/** Takes bytes apart into lines, and gives up on a line that is too long. */
export class Lines {
  readonly #most: number;
  #pieces: Buffer[] = [];
  #held = 0;

  /** @param most bytes of one line. */
  constructor(most: number) {
    this.#most = most;
  }

  /** Bytes of the line that has not ended yet. */
  get held(): number {
    return this.#held;
  }

  /** The lines that end in this chunk. Undefined when one is too long; what it had of it is dropped. */
  push(chunk: Buffer): string[] | undefined {
    const lines: string[] = [];
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      if (this.#held + end - start > this.#most) return this.#drop();
      this.#pieces.push(chunk.subarray(start, end));
      lines.push(Buffer.concat(this.#pieces).toString("utf8").replace(/\r$/, ""));
      this.#pieces = [];
      this.#held = 0;
      start = end + 1;
    }
    const rest = chunk.subarray(start);
    if (this.#held + rest.length > this.#most) return this.#drop();
    if (rest.length > 0) this.#pieces.push(rest);
    this.#held += rest.length;
    return lines;
  }

  #drop(): undefined {
    this.#pieces = [];
    this.#held = 0;
  }
}
