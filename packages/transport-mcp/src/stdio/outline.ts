/** Characters of an outline. A message has few fields of its own, and those that are texts are short. */
const LONGEST = 4_096;

const [OPEN, CLOSE, QUOTE, BACKSLASH] = [0x7b, 0x7d, 0x22, 0x5c];

/**
 * What a message is about, read from its bytes without keeping them: its own fields, with `null` for each object and list
 * in them. Linear in the number of bytes, in memory that does not grow.
 */
export class Outline {
  #text = "";
  #depth = 0;
  #inText = false;
  #escaped = false;

  read(bytes: Buffer): void {
    for (const byte of bytes) {
      if (this.#inText) {
        if (this.#escaped) this.#escaped = false;
        else if (byte === BACKSLASH) this.#escaped = true;
        else if (byte === QUOTE) this.#inText = false;
        if (this.#depth === 1) this.#keep(byte);
        continue;
      }
      // "[" and "{", "]" and "}": the same but for one bit.
      const opens = (byte | 0x20) === OPEN;
      const closes = (byte | 0x20) === CLOSE;
      if (byte === QUOTE) this.#inText = true;
      if (closes) this.#depth--;
      if (this.#depth === 1 && opens) this.#text += "null";
      else if (this.#depth === 1 ? !closes : this.#depth === 0 && (opens || closes)) this.#keep(byte);
      if (opens) this.#depth++;
    }
  }

  /** The id of the request that the message answers, or that it is. */
  get id(): string | number | undefined {
    const id = this.#fields()["id"];
    return typeof id === "string" || typeof id === "number" ? id : undefined;
  }

  /** Of a request or a notification; answers have none. */
  get method(): unknown {
    return this.#fields()["method"];
  }

  #keep(byte: number): void {
    if (this.#text.length < LONGEST) this.#text += String.fromCharCode(byte);
  }

  #fields(): Readonly<Record<string, unknown>> {
    try {
      return JSON.parse(this.#text) as Readonly<Record<string, unknown>>;
    } catch {
      // It is no message.
      return {};
    }
  }
}
