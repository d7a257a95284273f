import { Outline } from "./outline.ts";

/** Takes bytes apart into lines. Of a line that is too long only the outline is kept. */
export class Lines {
  readonly #most: number;
  #pieces: Buffer[] = [];
  #held = 0;
  #outline: Outline | undefined;

  /** @param most bytes of one line. */
  constructor(most: number) {
    this.#most = most;
  }

  /** The lines that end in this chunk, without their ends. */
  push(chunk: Buffer): (string | Outline)[] {
    const lines: (string | Outline)[] = [];
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      this.#add(chunk.subarray(start, end));
      lines.push(this.#outline ?? Buffer.concat(this.#pieces).toString("utf8").replace(/\r$/, ""));
      this.#outline = undefined;
      this.#pieces = [];
      this.#held = 0;
      start = end + 1;
    }
    this.#add(chunk.subarray(start));
    return lines;
  }

  #add(piece: Buffer): void {
    this.#held += piece.length;
    if (this.#held > this.#most) {
      this.#outline ??= new Outline();
      for (const one of this.#pieces) this.#outline.read(one);
      this.#outline.read(piece);
      this.#pieces = [];
    } else if (piece.length > 0) this.#pieces.push(piece);
  }
}
