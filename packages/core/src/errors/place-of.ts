import { fileURLToPath } from "node:url";

/** Where davpool's own code stands: of no use to whoever looks for a mistake of theirs. */
const OURS = fileURLToPath(new URL("..", import.meta.url));
/** A frame of a stack, or the line above the code that an error of the parser shows. */
const PLACE = /(?:^|[\s(])((?:file:\/\/|\/|[A-Za-z]:\\)[^\s()]*?)(?:\?[^\s():]*)?:(\d+)(?::\d+)?\)?$/gm;

/**
 * `file:line` of what threw an error, as far as the platform tells it.
 * @param among the only files that count. Default: all, up to where davpool's own code called it.
 */
export function placeOf(error: unknown, among?: ReadonlySet<string>): string | undefined {
  if (!(error instanceof Error) || typeof error.stack !== "string") return undefined;
  // The message may name files of its own.
  const stack = error.message === "" ? error.stack : error.stack.replace(error.message, "");
  for (const [, where = "", line = ""] of stack.matchAll(PLACE)) {
    const file = where.startsWith("file:") ? pathOf(where) : where;
    if (among ? among.has(file) : !file.startsWith(OURS)) return `${file}:${line}`;
    // What follows is whoever called davpool.
    if (!among) return undefined;
  }
  return undefined;
}

function pathOf(address: string): string {
  try {
    return fileURLToPath(address);
  } catch {
    // On another machine, as far as its form goes.
    return address;
  }
}
