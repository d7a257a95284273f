import { STATUS_CODES } from "node:http";
import type { Answer } from "./answer.ts";
import { xmlAnswer } from "./answer.ts";
import { escapeXml } from "./xml.ts";

export interface PropertyStatus {
  readonly status: number;
  /** Serialized property elements. */
  readonly properties: readonly string[];
  /** A serialized precondition element. */
  readonly error?: string;
}

/** One `response` element: a status for the resource as a whole, or one for each group of properties. */
export type ResponseElement = { readonly href: string } & (
  | { readonly status: number; readonly error?: string }
  | { readonly propstat: readonly PropertyStatus[] }
);

/** A 207 (RFC 4918, section 13). */
export function multistatusAnswer(responses: readonly ResponseElement[]): Answer {
  return xmlAnswer(207, `<D:multistatus xmlns:D="DAV:">${responses.map(writeResponse).join("")}</D:multistatus>`);
}

function writeResponse(response: ResponseElement): string {
  const content =
    "propstat" in response
      ? response.propstat.map(writePropstat).join("")
      : writeStatus(response.status) + writeError(response.error);
  return `<D:response><D:href>${escapeXml(response.href)}</D:href>${content}</D:response>`;
}

function writePropstat({ status, properties, error }: PropertyStatus): string {
  return `<D:propstat><D:prop>${properties.join("")}</D:prop>${writeStatus(status)}${writeError(error)}</D:propstat>`;
}

function writeStatus(status: number): string {
  return `<D:status>HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}</D:status>`;
}

function writeError(error: string | undefined): string {
  return error === undefined ? "" : `<D:error>${error}</D:error>`;
}
