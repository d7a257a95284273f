import type { Answer } from "../answer.ts";
import { refuse } from "../answer.ts";
import { isLiveProperty, livePropertyNames, writeLiveProperty } from "../live-properties.ts";
import type { PropertySubject } from "../live-properties.ts";
import { multistatusAnswer } from "../multistatus.ts";
import type { PropertyStatus, ResponseElement } from "../multistatus.ts";
import { joinPath, toHref } from "../paths.ts";
import { parseRequestXml } from "../request-xml.ts";
import type { DavRequest, Site } from "../site.ts";
import { propertyKey } from "../tree.ts";
import { childElements, davChild, nameElement } from "../xml.ts";

interface PropertyName {
  readonly namespace: string;
  readonly name: string;
}

type Wanted =
  | { readonly kind: "allprop" }
  | { readonly kind: "propname" }
  | { readonly kind: "prop"; readonly names: readonly PropertyName[] };

/** PROPFIND; without a `Depth` it is infinity, as RFC 4918, section 9.1 says. */
export function propfind(request: DavRequest, site: Site): Answer {
  if (!site.tree.exists(request.path)) refuse(404, `nothing at ${request.path}`);
  const depth = request.headers["depth"] ?? "infinity";
  if (depth !== "0" && depth !== "1" && depth !== "infinity") refuse(400, "Depth must be 0, 1 or infinity");
  const wanted = parseWanted(request);
  return multistatusAnswer(pathsOf(site, request.path, depth).map((path) => describe(path, site, wanted)));
}

function pathsOf(site: Site, path: string, depth: "0" | "1" | "infinity"): string[] {
  if (depth === "infinity") return site.tree.paths(path);
  if (depth === "0" || site.tree.get(path)?.kind === "file") return [path];
  return [path, ...site.tree.list(path).map((name) => joinPath(path, name.replace(/\/$/, "")))];
}

function parseWanted(request: DavRequest): Wanted {
  if (request.body.length === 0) return { kind: "allprop" };
  const root = parseRequestXml(request, "propfind");
  const prop = davChild(root, "prop");
  if (prop !== undefined) return { kind: "prop", names: childElements(prop) };
  if (davChild(root, "propname") !== undefined) return { kind: "propname" };
  // All live properties are part of allprop here, so that `include` adds nothing.
  if (davChild(root, "allprop") !== undefined) return { kind: "allprop" };
  return refuse(400, "propfind holds none of prop, propname and allprop");
}

function describe(path: string, site: Site, wanted: Wanted): ResponseElement {
  const resource = site.tree.require(path);
  const subject = {
    resource,
    locks: site.locks.covering(path),
    basePath: site.basePath,
    now: site.clock.now(),
  };
  return {
    href: toHref(site.basePath, path, resource.kind === "collection"),
    propstat: wanted.kind === "prop" ? chosen(wanted.names, subject) : everything(subject, wanted.kind === "propname"),
  };
}

function everything(subject: PropertySubject, namesOnly: boolean): PropertyStatus[] {
  const live = livePropertyNames().flatMap((name) => {
    const xml = writeLiveProperty(name, subject);
    if (xml === undefined) return [];
    return namesOnly ? `<D:${name}/>` : xml;
  });
  const dead = [...subject.resource.properties.values()].map((property) =>
    namesOnly ? nameElement(property) : property.xml,
  );
  return [{ status: 200, properties: [...live, ...dead] }];
}

function chosen(names: readonly PropertyName[], subject: PropertySubject): PropertyStatus[] {
  const found: string[] = [];
  const missing: string[] = [];
  for (const property of names) {
    const xml = isLiveProperty(property)
      ? writeLiveProperty(property.name, subject)
      : subject.resource.properties.get(propertyKey(property))?.xml;
    if (xml === undefined) missing.push(nameElement(property));
    else found.push(xml);
  }
  const propstat: PropertyStatus[] = [];
  if (found.length > 0 || missing.length === 0) propstat.push({ status: 200, properties: found });
  if (missing.length > 0) propstat.push({ status: 404, properties: missing });
  return propstat;
}
