import { refuse } from "./answer.ts";
import type { DavRequest } from "./site.ts";
import { isDav, parseXml } from "./xml.ts";
import type { XmlElement } from "./xml.ts";

/** Parses a request's body whose root must be the `DAV:` element `name`; anything else ends with 400. */
export function parseRequestXml(request: DavRequest, name: string): XmlElement {
  let root: XmlElement;
  try {
    root = parseXml(new TextDecoder("utf-8", { fatal: true }).decode(request.body));
  } catch (error) {
    refuse(400, `the request's body is not well-formed XML: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (!isDav(root, name)) refuse(400, `the request's body is not a DAV:${name} element`);
  return root;
}
