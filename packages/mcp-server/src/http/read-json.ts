import type { IncomingMessage } from "node:http";
import { BadRequest } from "./bad-request.ts";
import type { ByteLease } from "./byte-budget.ts";
import { JsonBody, type PlaceText } from "./json-body.ts";

export interface ReadBody {
  /** What the JSON says. */
  readonly value: unknown;
  /** Bytes. */
  readonly size: number;
}

/**
 * The body of a request, as JSON.
 * @param limit bytes of one request.
 * @param place puts long texts of a large body into place.
 * @param lease takes every byte that arrives, and keeps them for whoever disposes of it.
 * @throws BadRequest
 */
export async function readJson(
  request: IncomingMessage,
  { limit, lease, place }: { readonly limit: number; readonly lease: ByteLease; readonly place: PlaceText },
): Promise<ReadBody> {
  const tooLarge = () =>
    new BadRequest(413, -32_000, `The request is larger than ${limit} bytes; see http.maxRequestSize.`);
  if (Number(request.headers["content-length"] ?? 0) > limit) throw tooLarge();
  const body = new JsonBody();
  await read(request, (chunk) => {
    if (body.size + chunk.byteLength > limit) throw tooLarge();
    lease.take(chunk.byteLength);
    body.push(chunk);
  });
  return { value: await body.parse(place), size: body.size };
}

/** By events, which cost half of what iterating does. */
function read(request: IncomingMessage, arrived: (chunk: Buffer) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const receive = (chunk: Buffer) => {
      try {
        arrived(chunk);
      } catch (error) {
        request.off("data", receive).pause();
        reject(error);
      }
    };
    request.on("data", receive);
    request.once("end", resolve);
    request.once("error", reject);
    request.once("close", () => reject(new Error("The client went away before its request had arrived.")));
  });
}
