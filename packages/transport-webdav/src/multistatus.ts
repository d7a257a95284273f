import { SaxesParser } from "saxes";
import { InvalidXmlError } from "./errors.ts";

const DAV = "DAV:";
const DEEPEST = 64;
/** Failures that are kept, and hrefs of one response element. */
const MOST_FAILURES = 1_000;
/** Characters that are kept of an href or a status. */
const LONGEST_TEXT = 2_048;

/** One resource or property that a multistatus answer reports a failure for. */
export interface PartFailure {
  readonly href: string;
  readonly status: number;
}

/**
 * Finds the failures inside a 207 (RFC 4918 §13): the answer's own status says nothing about its parts. 424 names a
 * consequence of another failure, not a cause, and is counted as well. Takes the answer in pieces, of any size. However many
 * failures there are, only so many are kept, and the others are counted.
 *
 * Rejects documents with a DOCTYPE or absurd depth, and ones that end too early.
 */
export class MultistatusScan {
  /** The first thousand. */
  readonly failures: PartFailure[] = [];
  /** How many failures there were beyond those that are kept. */
  more = 0;
  readonly #parser = new SaxesParser({ xmlns: true });
  readonly #decoder = new TextDecoder("utf-8", { fatal: true });
  readonly #withProperties: boolean;
  #path: string[] = [];
  /** Of the href or the status at hand. */
  #text = "";
  /** The href of the response element at hand is open, or its status. */
  #reading = false;
  /** Of the response element at hand; one status may be that of several. */
  #hrefs: string[] = [];
  /** Hrefs of it that are not kept. */
  #moreHrefs = 0;
  #problem: InvalidXmlError | undefined;

  /** @param withProperties count failed properties too; a PROPFIND reports missing ones as a matter of course. */
  constructor(withProperties: boolean) {
    this.#withProperties = withProperties;
    const parser = this.#parser;
    const text = (text: string) => {
      if (this.#reading && this.#text.length < LONGEST_TEXT) this.#text += text.slice(0, LONGEST_TEXT);
    };
    parser.on("doctype", () => this.#fail("it has a DOCTYPE"));
    parser.on("error", (error) => this.#fail("it is not well-formed", error));
    parser.on("opentag", (tag) => {
      const name = tag.uri === DAV ? tag.local : "";
      this.#path.push(name);
      if (this.#path.length > DEEPEST) this.#fail("it is nested too deeply");
      if (name === "response") {
        this.#hrefs = [];
        this.#moreHrefs = 0;
      }
      this.#reading = name === "href" || name === "status";
      this.#text = "";
    });
    parser.on("text", text);
    parser.on("cdata", text);
    parser.on("closetag", () => {
      this.#closed(this.#path.pop() ?? "");
      this.#reading = false;
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
    if (name === "href" && parent === "response") {
      if (this.#hrefs.length < MOST_FAILURES) this.#hrefs.push(this.#text.slice(0, LONGEST_TEXT).trim());
      else this.#moreHrefs += 1;
    }
    if (name !== "status" || (parent !== "response" && !(parent === "propstat" && this.#withProperties))) return;
    const status = Number(/^HTTP\/\S+\s+(\d{3})/.exec(this.#text.trim())?.[1]);
    if (!(status >= 400)) return;
    const hrefs = this.#hrefs.length > 0 ? this.#hrefs : [""];
    const room = MOST_FAILURES - this.failures.length;
    for (const href of hrefs.slice(0, room)) this.failures.push({ href, status });
    this.more += Math.max(0, hrefs.length - room) + this.#moreHrefs;
  }

  #fail(why: string, cause?: unknown): void {
    this.#problem ??= new InvalidXmlError(why, cause);
  }
}
