import type { Socket } from "node:net";

/** Bytes of one interim answer, at most. A longer one goes to undici, which refuses it. */
const MAX_HEAD = 16 * 1024;
const INTERIM = "HTTP/1.1 1";
const SWITCHING = `${INTERIM}01`;
const NOTHING: Buffer = Buffer.alloc(0);

/**
 * Removes interim answers (1xx, but not 101) from what undici reads from the socket. A client must be prepared to ignore
 * them (RFC 9110 §15.2); undici destroys the socket on `100 Continue`, since it never asks for one. Only the first bytes
 * of each answer are looked at.
 *
 * @returns Call it whenever a request begins on the socket.
 */
export function ignoreInterimAnswers(socket: Socket): () => void {
  const read = socket.read.bind(socket) as (size?: number) => Buffer | null;
  let awaiting = false;
  /** The beginning of an interim answer whose end has not come. */
  let held = NOTHING;
  socket.read = (size?: number): Buffer | null => {
    for (;;) {
      const chunk = read(size);
      if (!awaiting || chunk === null) return chunk;
      held = afterInterim(held.length === 0 ? chunk : Buffer.concat([held, chunk]));
      if (held.length > MAX_HEAD || !maybeInterim(held)) {
        const answer = held;
        awaiting = false;
        held = NOTHING;
        return answer;
      }
    }
  };
  return () => {
    awaiting = true;
    held = NOTHING;
  };
}

/** What follows the complete interim answers at the start of the bytes. */
function afterInterim(bytes: Buffer): Buffer {
  let rest = bytes;
  while (rest.length >= SWITCHING.length && maybeInterim(rest)) {
    const end = endOfHead(rest);
    if (end === undefined || end > MAX_HEAD) break;
    rest = rest.subarray(end);
  }
  return rest;
}

/** Whether the bytes are an interim answer, as far as they have come. */
function maybeInterim(bytes: Buffer): boolean {
  const start = bytes.toString("latin1", 0, SWITCHING.length);
  return start !== SWITCHING && INTERIM.startsWith(start.slice(0, INTERIM.length));
}

/** The offset after the empty line that ends a head. A line may end in LF alone (RFC 9112 §2.2). */
function endOfHead(bytes: Buffer): number | undefined {
  const ends = ["\n\r\n", "\n\n"].flatMap((end) => {
    const at = bytes.indexOf(end, 0, "latin1");
    return at < 0 ? [] : [at + end.length];
  });
  return ends.length === 0 ? undefined : Math.min(...ends);
}
