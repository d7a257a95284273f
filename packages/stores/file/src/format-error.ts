/** The content of a file is not what a store writes. `message` says what is wrong, in a few words and without values. */
export class FormatError extends Error {}
