import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { profileCredentials } from "../pool/profile-credentials.ts";
import { resolveSecret, type Secret, type SecretContext } from "./secret.ts";

let context: SecretContext;

beforeAll(() => {
  const baseDirectory = mkdtempSync(join(tmpdir(), "davpool-secret-"));
  writeFileSync(join(baseDirectory, "password"), "from a file\r\n");
  context = { baseDirectory, environment: { PASSWORD: "from the environment", EMPTY: "" } };
});
afterAll(() => rmSync(context.baseDirectory, { recursive: true, force: true }));

const node = process.execPath;

describe("a secret", () => {
  test.each<[Secret, string]>([
    ["itself", "itself"],
    [{ env: "PASSWORD" }, "from the environment"],
    [{ env: "EMPTY" }, ""],
    [{ file: "password" }, "from a file"],
    [{ command: [node, "-e", "console.log('from a command')"] }, "from a command"],
  ])("is found where it is: %j", async (secret, expected) => {
    expect(await resolveSecret(secret, context)).toBe(expected);
  });

  test.each<[Secret, RegExp]>([
    [{ env: "MISSING" }, /^The secret from environment variable MISSING cannot be read: it is not set\.$/],
    [{ file: "missing" }, /^The secret from file .*missing cannot be read: ENOENT\.$/],
    [
      { command: ["/no/such/program"] },
      /^The secret from command \/no\/such\/program cannot be read: it failed with ENOENT\.$/,
    ],
    [{ command: [node, "-e", "process.exit(3)"] }, /cannot be read: it failed with 3\.$/],
  ])("that is not there is an error that names its place: %j", async (secret, expected) => {
    await expect(resolveSecret(secret, context)).rejects.toMatchObject({
      code: "SECRET_UNREADABLE",
      message: expect.stringMatching(expected) as string,
    });
  });

  test("never gets into the error of a command that prints it and fails", async () => {
    const command = [node, "-e", "console.log('hunter2'); console.error('hunter2'); process.exit(1)"] as const;
    const error = await resolveSecret({ command }, context).catch((thrown: unknown) => thrown);
    const { message, stack, cause, details } = error as { [field: string]: unknown };
    expect(JSON.stringify({ message, stack, details })).not.toContain("hunter2");
    expect(cause).toBeUndefined();
  });

  test("from a command is not waited for when nobody wants it any more", async () => {
    const command = [node, "-e", "setInterval(() => 0, 1000)"] as const;
    await expect(resolveSecret({ command }, context, AbortSignal.abort())).rejects.toThrow("it failed with ABORT_ERR");
  });
});

describe("credentials from the profile", () => {
  const find = (fields: object) =>
    profileCredentials(context).credentials(
      { ...fields } as never,
      undefined,
      new AbortController().signal,
      "declared",
    );

  test("are its user name, password and token, found where they are", async () => {
    expect(await find({})).toBeUndefined();
    expect(await find({ username: "alice", password: { env: "PASSWORD" } })).toEqual({
      username: "alice",
      password: "from the environment",
    });
    expect(await find({ token: { file: "password" } })).toEqual({ token: "from a file" });
  });
});
