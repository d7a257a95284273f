import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { promisify } from "node:util";
import { Type, type TUnsafe } from "typebox";
import { SecretError } from "../errors/config-errors.ts";

/**
 * A secret, or where to find it: itself, an environment variable, a file (a trailing line end is cut), or what a
 * command prints (run without a shell, for at most 10 seconds). Found when a connection is opened, not before.
 */
export type Secret =
  | string
  | { readonly env: string }
  | { readonly file: string }
  | { readonly command: readonly [string, ...string[]] };

/** Schema of a {@link Secret}, for profile fields. */
export function SecretSchema(options: { readonly description?: string } = {}): TUnsafe<Secret> {
  const place = (name: string, of: ReturnType<typeof Type.String> | ReturnType<typeof Type.Array>) =>
    Type.Object({ [name]: of }, { additionalProperties: false });
  const text = Type.String({ minLength: 1 });
  return Type.Unsafe<Secret>({
    ...Type.Union([
      Type.String(),
      place("env", text),
      place("file", text),
      place("command", Type.Array(text, { minItems: 1 })),
    ]),
    conceal: true,
    expects: 'a secret: text, { env: "NAME" }, { file: "path" } or { command: ["program", "argument"] }',
    ...options,
  });
}

export interface SecretContext {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly baseDirectory: string;
}

const run = promisify(execFile);
const COMMAND_TIMEOUT = 10_000;

/** Finds a secret's value. @throws SecretError that names the place and never the value. */
export async function resolveSecret(secret: Secret, context: SecretContext, signal?: AbortSignal): Promise<string> {
  if (typeof secret === "string") return secret;
  if ("env" in secret) {
    const value = context.environment[secret.env];
    if (value === undefined) throw new SecretError(`environment variable ${secret.env}`, "it is not set");
    return value;
  }
  if ("file" in secret) {
    const path = resolve(context.baseDirectory, secret.file);
    try {
      return withoutLineEnd(await readFile(path, "utf8"));
    } catch (error) {
      throw new SecretError(`file ${path}`, (error as NodeJS.ErrnoException).code ?? "it cannot be read", error);
    }
  }
  const [program, ...parameters] = secret.command;
  try {
    const { stdout } = await run(program, parameters, {
      cwd: context.baseDirectory,
      timeout: COMMAND_TIMEOUT,
      ...(signal && { signal }),
    });
    return withoutLineEnd(stdout);
  } catch (error) {
    const { code, killed } = error as { code?: string | number; killed?: boolean };
    const why = killed === true ? "it took longer than 10 seconds" : `it failed with ${String(code ?? "an error")}`;
    // The command's output stays out: it may hold the secret.
    throw new SecretError(`command ${program}`, why);
  }
}

function withoutLineEnd(text: string): string {
  return text.replace(/\r?\n$/, "");
}
