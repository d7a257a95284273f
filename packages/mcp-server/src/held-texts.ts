import { randomUUID } from "node:crypto";

/** Nobody outside of this process knows it, so no text that came from outside begins with it. */
const PREFIX = `davpool-held:${randomUUID()}:`;

/**
 * Texts so large that putting them together in one piece would keep everybody else waiting. A short name stands in their place
 * until somebody asks for the pieces.
 */
const held = new Map<string, readonly string[]>();
let count = 0;

/** @returns the name that stands for the text from now on, until it is let go. */
export function holdText(pieces: readonly string[]): string {
  const name = `${PREFIX}${String(count++)}`;
  held.set(name, pieces);
  return name;
}

export function letGoOfText(name: string): void {
  held.delete(name);
}

/** The pieces that a name stands for; undefined for any other text. @throws Error when they have been let go. */
export function piecesOf(text: string): readonly string[] | undefined {
  if (!text.startsWith(PREFIX)) return undefined;
  const pieces = held.get(text);
  if (!pieces) throw new Error("The client went away before its request was looked at.");
  return pieces;
}
