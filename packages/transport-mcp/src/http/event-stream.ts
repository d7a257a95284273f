import { AnswerTooLargeError } from "../errors.ts";
import { Lines } from "../stdio/lines.ts";
import type { Outline } from "../stdio/outline.ts";

/** One event of a stream (WHATWG HTML, server-sent events). */
export interface ServerEvent {
  readonly type: string;
  readonly data: string;
  readonly id: string | undefined;
  /** Milliseconds the server would like to be left alone for before the stream is opened anew. */
  readonly retry: number | undefined;
  /** Of data that are too long, which are discarded. */
  readonly outline?: Outline;
}

/**
 * The events of a stream, as they come.
 * @param serverId whose stream it is.
 * @param longest bytes of a line, and of an event's data.
 * @param moved is told of the bytes as they arrive.
 */
export async function* eventsOf(
  stream: AsyncIterable<Buffer>,
  serverId: string,
  longest: number,
  moved: (bytes: number) => void,
): AsyncGenerator<ServerEvent> {
  const lines = new Lines(longest);
  let event: { type: string; data: string[]; size: number; id?: string; retry?: number; outline?: Outline } = blank();
  for await (const chunk of stream) {
    moved(chunk.byteLength);
    for (const line of lines.push(chunk)) {
      if (typeof line !== "string") {
        event.outline = line;
        continue;
      }
      if (line === "") {
        const { type, data, id, retry, outline } = event;
        if (outline) yield { type, data: "", id, retry, outline };
        else if (data.length > 0 || id !== undefined || retry !== undefined)
          yield { type, data: data.join("\n"), id, retry };
        event = blank();
        continue;
      }
      const [field, value] = fieldOf(line.replace(/^\uFEFF/, ""));
      if (field === "event") event.type = value;
      else if (field === "id") event.id = value;
      else if (field === "retry" && /^\d+$/.test(value)) event.retry = Number(value);
      else if (field === "data") {
        event.size += value.length;
        if (event.size > longest) throw AnswerTooLargeError.tooLong(serverId, longest);
        event.data.push(value);
      }
    }
  }
}

function blank(): { type: string; data: string[]; size: number } {
  return { type: "message", data: [], size: 0 };
}

function fieldOf(line: string): readonly [string, string] {
  const colon = line.indexOf(":");
  if (colon < 0) return [line, ""];
  return [line.slice(0, colon), line.slice(colon + (line[colon + 1] === " " ? 2 : 1))];
}
