import { InvalidRequestError } from "./errors.ts";

/** One part of an `If` header (RFC 4918 §10.4): the resource that the lists after it are about, or a list. */
export type IfPart =
  | { readonly resource: string }
  | {
      /** As it was written, parentheses included. */
      readonly list: string;
      /** Without their brackets. */
      readonly tokens: readonly string[];
      /** With their quotes, and `W/` before weak ones. */
      readonly tags: readonly string[];
    };

/** A bare token as a list, and any other value as it is. */
export function ifHeader(value: string): string {
  return value.includes("(") ? value : `(<${bareToken(value)}>)`;
}

/** `Lock-Token` takes a coded URL (RFC 4918 §10.5); people and servers write bare tokens as well. */
export function bareToken(value: string): string {
  const token = value.trim();
  return token.startsWith("<") && token.endsWith(">") ? token.slice(1, -1) : token;
}

/**
 * The parts of an `If` header, in order. Every character is looked at once.
 * @throws InvalidRequestError for what is no `If` header.
 */
export function ifParts(value: string): readonly IfPart[] {
  const text = ifHeader(value);
  const parts: IfPart[] = [];
  for (let at = 0; at < text.length;) {
    const start = text[at];
    if (start === "<") {
      const end = closing(text, ">", at);
      parts.push({ resource: text.slice(at + 1, end) });
      at = end + 1;
    } else if (start === "(") {
      const [list, end] = readList(text, at);
      parts.push(list);
      at = end + 1;
    } else if (start === " " || start === "\t") at += 1;
    else throw malformed(`"${text.slice(at, at + 20)}" is neither a resource nor a list`);
  }
  return parts;
}

/** Entity tags of an `If-Match` header. Every character is looked at once. */
export function entityTags(value: string): readonly string[] {
  const tags: string[] = [];
  for (let open = value.indexOf('"'); open >= 0;) {
    const end = value.indexOf('"', open + 1);
    if (end < 0) break;
    tags.push(tagAt(value, open, end));
    open = value.indexOf('"', end + 1);
  }
  return tags;
}

/** @returns the list, and where its closing parenthesis is. */
function readList(text: string, start: number): [IfPart, number] {
  const tokens: string[] = [];
  const tags: string[] = [];
  for (let at = start + 1; at < text.length; at++) {
    const character = text[at];
    if (character === ")") return [{ list: text.slice(start, at + 1), tokens, tags }, at];
    if (character === "<") {
      const end = closing(text, ">", at);
      tokens.push(text.slice(at + 1, end));
      at = end;
    } else if (character === '"') {
      const end = closing(text, '"', at);
      tags.push(tagAt(text, at, end));
      at = end;
    }
  }
  throw malformed("a list has no closing parenthesis");
}

function tagAt(text: string, open: number, end: number): string {
  return text.slice(text.startsWith("W/", open - 2) ? open - 2 : open, end + 1);
}

function closing(text: string, mark: string, from: number): number {
  const end = text.indexOf(mark, from + 1);
  if (end < 0) throw malformed(`a ${JSON.stringify(text[from])} is not closed`);
  return end;
}

function malformed(why: string): InvalidRequestError {
  return new InvalidRequestError(
    `The If header cannot be read: ${why}. Give a lock token, or lists such as (<token> ["tag"]).`,
  );
}
