import { SaxesParser } from "saxes";
import { InvalidXmlError } from "./errors.ts";

const DAV = "DAV:";
const DEEPEST = 64;

/** One resource or property that a multistatus answer reports a failure for. */
export interface PartFailure {
  readonly href: string;
  readonly status: number;
}

/**
 * Finds the failures inside a 207 (RFC 4918 §13): the answer's own status says nothing about its parts. 424 names a
 * consequence of another failure, not a cause, and is counted as well. Takes the answer in pieces, of any size.
 *
 * Rejects documents with a DOCTYPE or absurd depth, and ones that end too early.
 */
export class MultistatusScan {
  readonly failures: PartFailure[] = [];
  readonly #parser = new SaxesParser({ xmlns: true });
  readonly #decoder = new TextDecoder("utf-8", { fatal: true });
  readonly #withProperties: boolean;
  #path: string[] = [];
  #text = "";
  /** Of the response element at hand; one status may be that of several. */
  #hrefs: string[] = [];
  #problem: InvalidXmlError | undefined;

  /** @param withProperties count failed properties too; a PROPFIND reports missing ones as a matter of course. */
  constructor(withProperties: boolean) {
    this.#withProperties = withProperties;
    const parser = this.#parser;
    const text = (text: string) => (this.#text += text);
    parser.on("doctype", () => this.#fail("it has a DOCTYPE"));
    parser.on("error", (error) => this.#fail("it is not well-formed", error));
    parser.on("opentag", (tag) => {
      const name = tag.uri === DAV ? tag.local : "";
      this.#path.push(name);
      if (this.#path.length > DEEPEST) this.#fail("it is nested too deeply");
      if (name === "response") this.#hrefs = [];
      this.#text = "";
    });
    parser.on("text", text);
    parser.on("cdata", text);
    parser.on("closetag", () => {
      this.#closed(this.#path.pop() ?? "");
      this.#text = "";
    });
  }

  /** @throws InvalidXmlError */
  write(chunk: Uint8Array): void {
    this.#check();
    let text: string;
    try {
      text = this.#decoder.decode(chunk, { stream: true });
    } catch (error) {
      throw (this.#problem = new InvalidXmlError("it is not UTF-8", error));
    }
    this.#parser.write(text);
    this.#check();
  }

  /** @throws InvalidXmlError when the document is not complete. */
  close(): void {
    this.#check();
    this.#parser.close();
    this.#check();
  }

  #check(): void {
    if (this.#problem) throw this.#problem;
  }

  #closed(name: string): void {
    const parent = this.#path.at(-1);
    if (name === "href" && parent === "response") this.#hrefs.push(this.#text.trim());
    if (name !== "status" || (parent !== "response" && !(parent === "propstat" && this.#withProperties))) return;
    const status = Number(/^HTTP\/\S+\s+(\d{3})/.exec(this.#text.trim())?.[1]);
    if (!(status >= 400)) return;
    for (const href of this.#hrefs.length > 0 ? this.#hrefs : [""]) this.failures.push({ href, status });
  }

  #fail(why: string, cause?: unknown): void {
    this.#problem ??= new InvalidXmlError(why, cause);
  }
}
