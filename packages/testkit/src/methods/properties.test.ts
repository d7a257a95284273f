import { describe, expect, test } from "vitest";
import { createWebDavServer } from "../server.ts";
import type { WebDavServer } from "../server.ts";
import { childElements, davChild, isDav, parseXml } from "../xml.ts";
import type { XmlElement } from "../xml.ts";

type Properties = Record<string, string>;

function textOf(element: XmlElement | undefined): string {
  return (element?.children ?? []).map((child) => (typeof child === "string" ? child : textOf(child))).join("");
}

/** By href, by status, the text of each property. */
function parseMultistatus(xml: string): Record<string, Record<string, Properties>> {
  const all = childElements(parseXml(xml)).map((response) => {
    const propstats = childElements(response).filter((child) => isDav(child, "propstat"));
    const byStatus = propstats.map((propstat): [string, Properties] => {
      const prop = davChild(propstat, "prop");
      const properties = prop === undefined ? [] : childElements(prop);
      const status = /\d{3}/.exec(textOf(davChild(propstat, "status")))?.[0] ?? "";
      return [status, Object.fromEntries(properties.map((property) => [property.name, textOf(property)]))];
    });
    return [textOf(davChild(response, "href")), Object.fromEntries(byStatus)] as const;
  });
  return Object.fromEntries(all);
}

async function send(server: WebDavServer, method: string, path: string, init: RequestInit = {}) {
  const response = await fetch(`${server.url}${path}`, { ...init, method });
  const text = await response.text();
  return { status: response.status, text, found: response.status === 207 ? parseMultistatus(text) : {} };
}

function update(instructions: string): string {
  return `<D:propertyupdate xmlns:D="DAV:" xmlns:x="urn:x" xml:lang="de">${instructions}</D:propertyupdate>`;
}

describe("PROPFIND", () => {
  test.each([
    ["0", ["/dav/"]],
    ["1", ["/dav/", "/dav/a%20b/", "/dav/%C3%BC%26.txt"]],
    ["infinity", ["/dav/", "/dav/a%20b/", "/dav/a%20b/f", "/dav/%C3%BC%26.txt"]],
    [undefined, ["/dav/", "/dav/a%20b/", "/dav/a%20b/f", "/dav/%C3%BC%26.txt"]],
  ])("with depth %s finds %j", async (depth, hrefs) => {
    await using server = await createWebDavServer();
    server.tree.write("/a b/f", "");
    server.tree.write("/ü&.txt", "");
    const { status, found } = await send(server, "PROPFIND", "", depth === undefined ? {} : { headers: { depth } });
    expect(status).toBe(207);
    expect(Object.keys(found)).toEqual(hrefs);
  });

  test("without a body gives all properties", async () => {
    await using server = await createWebDavServer();
    const { etag, lastModified, created } = server.tree.write("/f.txt", "1234");
    server.tree.changeProperties("/f.txt", [
      { namespace: "urn:x", name: "color", xml: '<color xmlns="urn:x">red</color>' },
    ]);
    const { found } = await send(server, "PROPFIND", "f.txt");
    expect(found["/dav/f.txt"]).toEqual({
      200: {
        creationdate: created.toISOString(),
        getlastmodified: lastModified.toUTCString(),
        resourcetype: "",
        getcontentlength: "4",
        getcontenttype: "text/plain; charset=utf-8",
        getetag: etag,
        supportedlock: "",
        lockdiscovery: "",
        color: "red",
      },
    });
  });

  test("gives the properties that are asked for, and says which do not exist", async () => {
    await using server = await createWebDavServer();
    server.tree.write("/a/f", "");
    const body = `<propfind xmlns="DAV:"><prop><getcontentlength/><resourcetype/><x:none xmlns:x="urn:x"/></prop></propfind>`;
    const { found, text } = await send(server, "PROPFIND", "a", { headers: { depth: "1" }, body });
    expect(found).toEqual({
      "/dav/a/": { 200: { resourcetype: "" }, 404: { getcontentlength: "", none: "" } },
      "/dav/a/f": { 200: { getcontentlength: "0", resourcetype: "" }, 404: { none: "" } },
    });
    expect(text).toContain("<D:resourcetype><D:collection/></D:resourcetype>");
  });

  test("gives names alone", async () => {
    await using server = await createWebDavServer();
    server.tree.write("/f", "1234");
    const body = `<propfind xmlns="DAV:"><propname/></propfind>`;
    const { found } = await send(server, "PROPFIND", "f", { body });
    expect(found["/dav/f"]?.["200"]).toMatchObject({ getetag: "", getcontentlength: "" });
  });

  test("refuses what it does not understand", async () => {
    await using server = await createWebDavServer();
    const statusFor = async (body: string, headers = {}) =>
      (await send(server, "PROPFIND", "", { body, headers })).status;
    expect(await statusFor("<propfind")).toBe(400);
    expect(await statusFor(`<other xmlns="DAV:"/>`)).toBe(400);
    expect(await statusFor(`<propfind xmlns="DAV:"/>`)).toBe(400);
    expect(await statusFor("", { depth: "2" })).toBe(400);
    expect((await send(server, "PROPFIND", "nothing")).status).toBe(404);
  });
});

describe("PROPPATCH", () => {
  test("sets and removes in document order, and keeps nested elements and languages", async () => {
    await using server = await createWebDavServer();
    server.tree.write("/f", "");
    const body = update(
      `<D:set><D:prop><x:a>1<y xmlns="urn:y" k="v"/></x:a><x:b/><x:c xml:lang="fr"/></D:prop></D:set><D:remove><D:prop><x:b/></D:prop></D:remove>`,
    );
    const { found } = await send(server, "PROPPATCH", "f", { body });
    expect(found).toEqual({ "/dav/f": { 200: { a: "", b: "", c: "" } } });
    expect([...server.tree.require("/f").properties.values()].map(({ xml }) => xml)).toEqual([
      '<a xmlns="urn:x" xml:lang="de">1<y xmlns="urn:y" k="v"/></a>',
      '<c xmlns="urn:x" xml:lang="fr"/>',
    ]);
  });

  test("changes nothing when one property is the server's own", async () => {
    await using server = await createWebDavServer();
    server.tree.write("/f", "");
    const body = update("<D:set><D:prop><x:a>1</x:a><D:getetag>2</D:getetag></D:prop></D:set>");
    const { found, text } = await send(server, "PROPPATCH", "f", { body });
    expect(found).toEqual({ "/dav/f": { 403: { getetag: "" }, 424: { a: "" } } });
    expect(text).toContain("cannot-modify-protected-property");
    expect(server.tree.require("/f").properties.size).toBe(0);
    const alone = update("<D:remove><D:prop><D:resourcetype/></D:prop></D:remove>");
    expect((await send(server, "PROPPATCH", "f", { body: alone })).found).toEqual({
      "/dav/f": { 403: { resourcetype: "" } },
    });
  });

  test("needs a resource and a body", async () => {
    await using server = await createWebDavServer();
    expect((await send(server, "PROPPATCH", "f", { body: update("") })).status).toBe(404);
    expect((await send(server, "PROPPATCH", "")).status).toBe(400);
  });
});
