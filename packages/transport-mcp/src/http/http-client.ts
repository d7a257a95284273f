import type { IncomingHttpHeaders } from "node:http";
import { isDavpoolError } from "@davpool/core";
import { SdkErrorCode, SdkHttpError } from "@modelcontextprotocol/client";
import { request, type Dispatcher } from "undici";
import type { Exchange } from "../channel.ts";
import { AnswerTooLargeError, ConnectionBrokenError } from "../errors.ts";
import { problemAt, problemOfStatus } from "../problem.ts";
import type { McpRefusal } from "../wire.ts";
import type { Authorization } from "./authorization.ts";
import type { Announced } from "./agent.ts";

/** Where a server is, and what every request to it carries. */
export interface Endpoint {
  readonly serverId: string;
  readonly url: string;
  readonly agent: Dispatcher;
  readonly authorization: Authorization;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** They hold credentials. */
  readonly secret: boolean;
  /** Bytes. */
  readonly longestMessage: number;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Dispatcher.ResponseData["body"];
  /** The request carried credentials. */
  readonly credentials: boolean;
}

/** A refusal as the protocol's machinery understands it, with what the engine wants to know of it. */
export class HttpRefusalError extends SdkHttpError {
  readonly refusal: McpRefusal;

  /** @param text what the server wrote: for finding out which era it is of, and nothing else. */
  constructor(status: number, retryAfter: string | undefined, text: string, credentials: boolean) {
    super(SdkErrorCode.ClientHttpNotImplemented, problemOfStatus(status), { status, statusText: "", text });
    this.refusal = {
      status,
      message: problemOfStatus(status),
      ...(credentials && { credentials }),
      ...(retryAfter !== undefined && { retryAfter }),
    };
  }
}

/** Of a refusal, no more than this is looked at. */
const LONGEST_REFUSAL = 64 * 1024;

/** Redirects after which a request is sent again as it is (RFC 9110 15.4.8 and 15.4.9). */
const REPEATED = new Set([307, 308]);
const MOST_REDIRECTS = 5;

/** Sends one HTTP request, and again where it is redirected within the origin; once more when a token was refused and another one is to be had. */
export async function ask(
  endpoint: Endpoint,
  method: "GET" | "POST" | "DELETE",
  to: string,
  parts: {
    readonly headers: Readonly<Record<string, string>>;
    readonly body?: string;
    readonly signal: AbortSignal;
    readonly exchange?: Exchange | undefined;
  },
): Promise<HttpAnswer> {
  const { agent, authorization } = endpoint;
  let place = to;
  let redirects = 0;
  for (let first = true; ;) {
    const header = await authorization.header();
    const options: Omit<Dispatcher.RequestOptions<unknown>, "path"> & Announced & { readonly dispatcher: Dispatcher } =
      {
        method,
        headers: { ...endpoint.headers, ...parts.headers, ...(header !== undefined && { authorization: header }) },
        body: parts.body ?? null,
        signal: parts.signal,
        dispatcher: agent,
        exchange: parts.exchange,
      };
    let answer: Dispatcher.ResponseData<unknown>;
    try {
      answer = await request(place, options);
    } catch (error) {
      throw broken(to, error);
    }
    const { statusCode: status, headers, body } = answer;
    const next = REPEATED.has(status) && redirects++ < MOST_REDIRECTS ? within(place, headers["location"]) : undefined;
    if (next !== undefined) place = next;
    else if (status !== 401 || !first || !authorization.refused(header))
      return { status, headers, body, credentials: header !== undefined || endpoint.secret };
    else first = false;
    await body.dump();
  }
}

/** Where a redirect leads to, if that is within the same origin: credentials go nowhere else. */
function within(place: string, location: string | string[] | undefined): string | undefined {
  const next = typeof location === "string" ? URL.parse(location, place) : null;
  return next?.origin === new URL(place).origin ? next.href : undefined;
}

/** A whole body. @throws AnswerTooLargeError when it is longer than so many bytes. */
export async function textOf(
  { body }: HttpAnswer,
  serverId: string,
  longest: number,
  exchange?: Exchange,
): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    exchange?.moved(chunk.byteLength);
    size += chunk.byteLength;
    if (size > longest) throw AnswerTooLargeError.tooLong(serverId, longest);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** What an answer that is no success means. */
export async function refusalOf(answer: HttpAnswer): Promise<{ error: HttpRefusalError; text: string }> {
  const text = await textOf(answer, "", LONGEST_REFUSAL).catch(() => "");
  const retryAfter = answer.headers["retry-after"];
  return {
    error: new HttpRefusalError(answer.status, retryAfter, text, answer.status === 401 && answer.credentials),
    text,
  };
}

/** An error of the socket, in words. */
export function broken(url: string, error: unknown): Error {
  return isDavpoolError(error) ? error : new ConnectionBrokenError(problemAt(url, error), error);
}
