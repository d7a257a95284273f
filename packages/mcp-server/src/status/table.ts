import { styleText } from "node:util";
import type { Screen } from "../terminal.ts";

export type Colour = "green" | "yellow" | "red" | "gray";
export type Cell = string | { readonly text: string; readonly colour: Colour };

export interface Column {
  readonly title: string;
  /** Where numbers stand, so that they can be compared at a glance. Default: left. */
  readonly align?: "left" | "right";
}

const GAP = "  ";
const graphemes = new Intl.Segmenter();
/** What fills two places of a terminal: CJK and its punctuation, Hangul, full-width forms, pictures. */
const WIDE =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u;

/**
 * Columns of equal width, a line each. On a screen, lines are cut at its edge instead of wrapped; elsewhere they are as
 * long as they are. What a server said may be in a cell, so nothing in it can move the cursor.
 */
export function table(columns: readonly Column[], rows: readonly (readonly Cell[])[], screen?: Screen): string {
  const titles = columns.map(({ title }): Cell => title);
  const lines = [titles, ...rows].map((row) => row.map(plain));
  const widths = columns.map((_column, index) => Math.max(...lines.map((line) => widthOf(line[index]?.text ?? ""))));
  return lines
    .map((line) => {
      let room = screen?.columns ?? Infinity;
      const cells = line.map(({ text, colour }, index) => {
        const width = widths[index] ?? 0;
        const space = " ".repeat(width - widthOf(text));
        const last = index === line.length - 1;
        const padded = columns[index]?.align === "right" ? space + text : last ? text : text + space;
        const shown = cut(padded, room);
        room = Math.max(0, room - width - GAP.length);
        return colour && screen?.colours ? styleText(colour, shown, { validateStream: false }) : shown;
      });
      return `${cells
        .filter((cell) => cell !== "")
        .join(GAP)
        .trimEnd()}\n`;
    })
    .join("");
}

/** One line without anything that a terminal would obey. */
export function oneLine(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, " ");
}

/** As much of a text as there is room for. */
export function cut(text: string, room: number): string {
  if (widthOf(text) <= room) return text;
  let shown = "";
  let width = 0;
  for (const { segment } of graphemes.segment(text)) {
    width += widthOf(segment);
    if (width > room - 1) break;
    shown += segment;
  }
  return room < 1 ? "" : `${shown}…`;
}

function plain(cell: Cell): { readonly text: string; readonly colour?: Colour } {
  return typeof cell === "string" ? { text: oneLine(cell) } : { text: oneLine(cell.text), colour: cell.colour };
}

function widthOf(text: string): number {
  let width = 0;
  for (const { segment } of graphemes.segment(text)) width += WIDE.test(segment) ? 2 : 1;
  return width;
}
