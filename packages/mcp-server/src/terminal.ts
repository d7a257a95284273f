/** Where a command writes. */
export interface Terminal {
  out(text: string): void;
  error(text: string): void;
  /** Present where `out` is looked at by a person, and not a file or another program. */
  readonly screen?: Screen;
}

export interface Screen {
  /** Characters in a line; may change while somebody looks. */
  readonly columns: number;
  readonly colours: boolean;
}
