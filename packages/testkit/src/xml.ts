import { SaxesParser } from "saxes";

export interface XmlElement {
  readonly namespace: string;
  readonly name: string;
  readonly attributes: readonly XmlAttribute[];
  readonly children: readonly (XmlElement | string)[];
}

interface XmlAttribute {
  readonly namespace: string;
  readonly name: string;
  readonly value: string;
}

const XML_NAMESPACE = "http://www.w3.org/XML/1998/namespace";

/** Parses a whole document with namespaces. Throws on anything that is not well-formed, and on a DOCTYPE. */
export function parseXml(text: string): XmlElement {
  const parser = new SaxesParser({ xmlns: true });
  const open: { element: XmlElement; children: (XmlElement | string)[] }[] = [];
  let root: XmlElement | undefined;
  const addText = (value: string): void => void open.at(-1)?.children.push(value);

  parser.on("error", (error) => {
    throw error;
  });
  parser.on("doctype", () => {
    throw new Error("a DOCTYPE is not accepted");
  });
  parser.on("text", addText);
  parser.on("cdata", addText);
  parser.on("opentag", (tag) => {
    const children: (XmlElement | string)[] = [];
    const attributes: XmlAttribute[] = [];
    for (const attribute of Object.values(tag.attributes)) {
      if (attribute.prefix === "xmlns" || attribute.name === "xmlns") {
        // Namespaces in XML 1.0 forbids taking a prefix back; saxes lets it pass.
        if (attribute.prefix === "xmlns" && attribute.value === "") throw new Error(`${attribute.name} is empty`);
        continue;
      }
      attributes.push({ namespace: attribute.uri, name: attribute.local, value: attribute.value });
    }
    const element: XmlElement = { namespace: tag.uri, name: tag.local, attributes, children };
    open.at(-1)?.children.push(element);
    root ??= element;
    open.push({ element, children });
  });
  parser.on("closetag", () => {
    open.pop();
  });
  parser.write(text).close();
  if (root === undefined) throw new Error("the document is empty");
  return root;
}

export function childElements(element: XmlElement): XmlElement[] {
  return element.children.filter((child) => typeof child !== "string");
}

/** The first child element in the `DAV:` namespace with that name. */
export function davChild(element: XmlElement, name: string): XmlElement | undefined {
  return childElements(element).find((child) => isDav(child, name));
}

export function isDav(element: XmlElement, name: string): boolean {
  return element.namespace === "DAV:" && element.name === name;
}

/** Writes an element so that it stands alone: each element declares its own namespace. */
export function serializeXml(element: XmlElement): string {
  let prefixes = 0;
  const attributes = element.attributes.map(({ namespace, name, value }) => {
    if (namespace === "") return ` ${name}="${escapeXml(value)}"`;
    if (namespace === XML_NAMESPACE) return ` xml:${name}="${escapeXml(value)}"`;
    prefixes += 1;
    return ` xmlns:n${prefixes}="${escapeXml(namespace)}" n${prefixes}:${name}="${escapeXml(value)}"`;
  });
  const content = element.children.map((child) => (typeof child === "string" ? escapeXml(child) : serializeXml(child)));
  return writeElement(element, attributes.join(""), content.join(""));
}

/** An empty element that names a property. */
export function nameElement(property: { readonly namespace: string; readonly name: string }): string {
  return writeElement(property, "", "");
}

function writeElement(
  name: { readonly namespace: string; readonly name: string },
  attributes: string,
  content: string,
) {
  const start = `<${name.name} xmlns="${escapeXml(name.namespace)}"${attributes}`;
  return content === "" ? `${start}/>` : `${start}>${content}</${name.name}>`;
}

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "\r": "&#13;",
  "\n": "&#10;",
  "\t": "&#9;",
};

/** Fit for text and for attribute values in double quotes. */
export function escapeXml(text: string): string {
  return text.replace(/[&<>"\r\n\t]/g, (character) => ESCAPES[character] ?? character);
}
