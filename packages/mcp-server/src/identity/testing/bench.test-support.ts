import { createManualClock, type Log, type LogFields, type ManualClock } from "@davpool/core";
import { Authenticator } from "../authenticator.ts";
import { isDenial, type Denial } from "../denial.ts";
import type { Principal } from "../principal.ts";
import type { IdentitySection } from "../section.ts";
import type { CreatedToken } from "../token-hash.ts";
import { readIdentity } from "../settings.ts";

export const RESOURCE = "https://files.example.com/mcp";

export interface LogLine {
  readonly level: keyof Log;
  readonly message: string;
  readonly fields: LogFields | undefined;
}

export interface AuthenticatorBench {
  readonly clock: ManualClock;
  readonly lines: readonly LogLine[];
  /** Resolves when a line that holds the text has been logged. */
  logged(text: string): Promise<LogLine>;
  /** Everything that left the authenticator so far, as text: lines and answers. */
  output(): string;
  /** Tokens that were shown to it. */
  readonly tokens: ReadonlySet<string>;
  /** Shows it a token. */
  show(token: string, more?: { readonly address?: string; readonly resource?: string }): Promise<Principal | Denial>;
  /** Shows it a whole header, or none. */
  send(authorization: string | undefined, more?: { readonly address?: string }): Promise<Principal | Denial>;
  /** The principal's name, or the denial's status and error. */
  name(token: string, more?: { readonly address?: string; readonly resource?: string }): Promise<string>;
  /** Seconds since 1970, moved by so many; for claims. */
  seconds(offset: number): number;
}

/** An authenticator with a clock that stands still and a log that is kept. */
export function createBench(section: IdentitySection, settings = readIdentity(section)): AuthenticatorBench {
  const clock = createManualClock();
  const lines: LogLine[] = [];
  const answers: unknown[] = [];
  const tokens = new Set<string>();
  const looking = new Set<() => void>();
  const record = (level: keyof Log) => (message: string, fields?: LogFields) => {
    lines.push({ level, message, fields });
    for (const look of looking) look();
  };
  const log: Log = { debug: record("debug"), info: record("info"), warn: record("warn"), error: record("error") };
  const authenticator = new Authenticator(settings, { clock, log });

  const send: AuthenticatorBench["send"] = async (authorization, more = {}) => {
    const answer = await authenticator.authenticate(
      { authorization },
      { address: "192.0.2.1", resource: RESOURCE, ...more },
    );
    answers.push(answer);
    return answer;
  };
  const show: AuthenticatorBench["show"] = (token, more) => {
    tokens.add(token);
    return send(`Bearer ${token}`, more);
  };
  return {
    clock,
    lines,
    tokens,
    send,
    show,
    logged: (text) =>
      new Promise((resolve) => {
        const look = () => {
          const line = lines.find(({ message }) => message.includes(text));
          if (!line) return;
          looking.delete(look);
          resolve(line);
        };
        looking.add(look);
        look();
      }),
    output: () => JSON.stringify({ lines, answers }),
    async name(token, more) {
      const answer = await show(token, more);
      return isDenial(answer) ? `${answer.status} ${answer.body.error}` : answer.name;
    },
    seconds: (offset) => clock.wall().getTime() / 1_000 + offset,
  };
}

/** @throws Error when a token, a part of one such as its signature, or a hash left the authenticator. */
export function assertNoSecrets(bench: AuthenticatorBench, created: readonly CreatedToken[] = []): void {
  const output = bench.output();
  const hashes = created.map(({ hash }) => hash.slice("sha256:".length));
  const secrets = [
    ...[...bench.tokens].flatMap((token) => [token, ...token.split(".")]).filter((part) => part.length >= 8),
    ...created.map(({ token }) => token),
    ...hashes.flatMap((hash) => [hash, Buffer.from(hash, "base64url").toString("hex")]),
  ];
  if (secrets.some((secret) => output.includes(secret))) throw new Error(`There is a secret in ${output}`);
}
