import { ProtocolError, ProtocolErrorCode, type Server } from "@modelcontextprotocol/server";
import { PNG } from "./media.test-support.ts";

const TEXT = "text/plain";
const TEMPLATE = /^test:\/\/template\/([^/]+)\/data$/;

const resources = [
  { uri: "test://static-text", name: "static-text", description: "A text.", mimeType: TEXT },
  { uri: "test://static-binary", name: "static-binary", description: "An image.", mimeType: PNG.mimeType },
  { uri: "test://watched-resource", name: "watched-resource", description: "Can be subscribed to.", mimeType: TEXT },
];

const resourceTemplates = [
  {
    uriTemplate: "test://template/{id}/data",
    name: "template",
    description: "One for every id.",
    mimeType: "application/json",
  },
];

function read(uri: string) {
  if (uri === "test://static-text") return { mimeType: TEXT, text: "This is the content of the static text resource." };
  if (uri === "test://static-binary") return { mimeType: PNG.mimeType, blob: PNG.data };
  if (uri === "test://watched-resource") return { mimeType: TEXT, text: "Watched resource content" };
  const [, id] = TEMPLATE.exec(uri) ?? [];
  if (id === undefined)
    throw new ProtocolError(ProtocolErrorCode.InvalidParams, `There is no resource "${uri}".`, { uri });
  return { mimeType: "application/json", text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }) };
}

/** Offers what the conformance suite reads, instead of the pools. */
export function offerResources(server: Server): void {
  server.setRequestHandler("resources/list", () => ({ resources }));
  server.setRequestHandler("resources/templates/list", () => ({ resourceTemplates }));
  server.setRequestHandler("resources/read", ({ params: { uri } }) => ({ contents: [{ uri, ...read(uri) }] }));
  server.setRequestHandler("resources/subscribe", () => ({}));
  server.setRequestHandler("resources/unsubscribe", () => ({}));
}
