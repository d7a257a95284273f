import type { Answer } from "../answer.ts";
import { refuse } from "../answer.ts";
import { isLiveProperty } from "../live-properties.ts";
import { multistatusAnswer } from "../multistatus.ts";
import type { PropertyStatus } from "../multistatus.ts";
import { toHref } from "../paths.ts";
import { parseRequestXml } from "../request-xml.ts";
import type { DavRequest, Site } from "../site.ts";
import type { DeadProperty } from "../tree.ts";
import { requireWriteAccess } from "../write-access.ts";
import { childElements, isDav, nameElement, serializeXml } from "../xml.ts";
import type { XmlElement } from "../xml.ts";

/** PROPPATCH: all changes or none. A live property gets 403, and then the others 424. */
export function proppatch(request: DavRequest, site: Site): Answer {
  const { path } = request;
  const resource = site.tree.get(path);
  if (resource === undefined) refuse(404, `nothing at ${path}`);
  requireWriteAccess(request, site, { path });
  const changes = parseChanges(parseRequestXml(request, "propertyupdate"));
  const [refused, accepted] = [changes.filter(isLiveProperty), changes.filter((change) => !isLiveProperty(change))];
  if (refused.length === 0) site.tree.changeProperties(path, changes);
  return multistatusAnswer([
    {
      href: toHref(site.basePath, path, resource.kind === "collection"),
      propstat: refused.length === 0 ? [group(200, changes)] : refusal(refused, accepted),
    },
  ]);
}

type Change = DeadProperty | { readonly namespace: string; readonly name: string };

/** In document order, because a later instruction may undo an earlier one. */
function parseChanges(root: XmlElement): Change[] {
  const language = languageOf(root);
  return childElements(root).flatMap((instruction) => {
    const set = isDav(instruction, "set");
    if (!set && !isDav(instruction, "remove")) return [];
    const props = childElements(instruction).filter((child) => isDav(child, "prop"));
    return props.flatMap((prop) =>
      childElements(prop).map((property) => {
        const { namespace, name } = property;
        if (!set) return { namespace, name };
        const inherited = languageOf(prop) ?? languageOf(instruction) ?? language;
        return { namespace, name, xml: serializeXml(withLanguage(property, inherited)) };
      }),
    );
  });
}

/** `xml:lang` in scope belongs to the property's value (RFC 4918, section 4.3). */
function withLanguage(property: XmlElement, inherited: XmlElement["attributes"][number] | undefined): XmlElement {
  if (inherited === undefined || languageOf(property) !== undefined) return property;
  return { ...property, attributes: [...property.attributes, inherited] };
}

function languageOf(element: XmlElement): XmlElement["attributes"][number] | undefined {
  return element.attributes.find(
    ({ namespace, name }) => name === "lang" && namespace === "http://www.w3.org/XML/1998/namespace",
  );
}

function refusal(refused: readonly Change[], others: readonly Change[]): PropertyStatus[] {
  const forbidden = { ...group(403, refused), error: "<D:cannot-modify-protected-property/>" };
  return others.length === 0 ? [forbidden] : [forbidden, group(424, others)];
}

function group(status: number, changes: readonly Change[]): PropertyStatus {
  return { status, properties: changes.map(nameElement) };
}
