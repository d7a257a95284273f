import { DavpoolError } from "./davpool-error.ts";

/** One thing that is wrong with a configuration. */
export interface ConfigIssue {
  /** Where, as one would write it in the file: `pools.files.servers[1].timeout`. Empty for the whole. */
  readonly path: string;
  /** What is wrong and what is expected, with the value found. */
  readonly message: string;
  /** What was probably meant. */
  readonly suggestion?: string;
}

/** `INVALID_CONFIG`: everything that is wrong with a configuration, at once. */
export class ConfigError extends DavpoolError {
  readonly file: string | undefined;
  readonly issues: readonly ConfigIssue[];

  constructor(file: string | undefined, issues: readonly ConfigIssue[], cause?: unknown) {
    const lines = issues.map((issue) => `  ${formatIssue(issue)}`);
    super(
      "INVALID_CONFIG",
      `${file ?? "The configuration"} has ${issues.length === 1 ? "a problem" : `${issues.length} problems`}:\n${lines.join("\n")}`,
      { details: { file, issues }, ...(cause !== undefined && { cause }) },
    );
    this.file = file;
    this.issues = issues;
  }
}

/** Found where packages of plugins are looked for: none of this name. */
export class PackageMissingError extends Error {
  constructor(name: string) {
    super(`package ${name} is not installed`);
    this.name = new.target.name;
  }
}

/** An issue on one line. */
export function formatIssue(issue: ConfigIssue): string {
  const where = issue.path === "" ? "" : `${issue.path}: `;
  return `${where}${issue.message}${issue.suggestion === undefined ? "" : ` ${issue.suggestion}`}`;
}

/** `SECRET_UNREADABLE`: an `{ env }`, `{ file }` or `{ command }` secret that gave nothing. Names its place only. */
export class SecretError extends DavpoolError {
  constructor(place: string, why: string, cause?: unknown) {
    super(
      "SECRET_UNREADABLE",
      `The secret from ${place} cannot be read: ${why}.`,
      cause === undefined ? {} : { cause },
    );
  }
}
