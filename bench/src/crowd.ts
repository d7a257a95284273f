import { createHash, randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { McpHttp, type Answered, type ToolUse } from "./mcp-client.ts";

/** Somebody with a token. */
export interface Person {
  readonly name: string;
  readonly headers: { readonly authorization: string };
}

/** So many people, and the entries that let them in. */
export function people(count: number): { readonly people: readonly Person[]; readonly tokens: readonly object[] } {
  const tokens = Array.from({ length: count }, () => randomBytes(32).toString("base64url"));
  return {
    people: tokens.map((token, index) => ({ name: `user${index}`, headers: { authorization: `Bearer ${token}` } })),
    tokens: tokens.map((token, index) => ({
      principal: `user${index}`,
      hash: `sha256:${createHash("sha256").update(token).digest("base64url")}`,
    })),
  };
}

/** Whatever one member writes has this in it, with its own number. */
const MARKER = /marker-(\d+)-/g;

/** What became of the calls of a crowd. */
export class Outcomes {
  readonly counts = new Map<string, number>();
  /** Answers that were another's, or not for the request. */
  readonly mixed: string[] = [];
  /** Calls that should have been answered well. */
  readonly failed: string[] = [];

  /** How many failed of each kind, and one of them. */
  summary(): string {
    const kinds = Map.groupBy(this.failed, (failure) => /, ([^:]+):/.exec(failure)?.[1] ?? "other");
    return `${[...kinds].map(([kind, list]) => `${list.length} ${kind}`).join(", ")}; ${this.failed[0]}`;
  }

  count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }
}

/** One client with a session of its own, whose calls can be told from everybody else's. */
export class Member implements AsyncDisposable {
  readonly #client: McpHttp;
  readonly #number: number;
  readonly #person: Person;
  readonly #outcomes: Outcomes;
  #session = "";
  #turn = 0;

  constructor(url: string, number: number, person: Person, outcomes: Outcomes) {
    this.#client = new McpHttp(url, { connections: 8 });
    this.#number = number;
    this.#person = person;
    this.#outcomes = outcomes;
  }

  async open(): Promise<void> {
    this.#session = await this.#client.open(this.#person.headers);
  }

  /** Writes a file and reads it back: its answers hold its marker. */
  async writeAndRead(): Promise<void> {
    const marker = this.#marker();
    const path = `/${marker}.txt`;
    const put = await this.#call({ method: "PUT", path, body: marker });
    this.#check("written", put, (text) => /\b20[14]\b/.test(text));
    await this.read(path, marker);
    this.#check("deleted", await this.#call({ method: "DELETE", path }), (text) => text.includes("204"));
  }

  async read(path: string, content: string, serverId?: string): Promise<void> {
    const answer = await this.#call({ method: "GET", path, ...(serverId !== undefined && { serverId }) });
    this.#check("read", answer, (text) => text.includes(content));
  }

  async look(): Promise<void> {
    const use = { name: "dav_list_servers", arguments: {} };
    const answer = await this.#client.call(this.#session, use, this.#person.headers);
    this.#check("listed", answer, (text) => text.includes('"healthy"'));
  }

  /** Reads what takes longer than a call may take. */
  async runOutOfTime(): Promise<void> {
    const answer = await this.#call({ method: "GET", path: `/${this.#marker()}`, serverId: "slow" });
    this.#check("timed out", answer, (text) => /DEADLINE_EXCEEDED|NO_SERVER_AVAILABLE|CALLS_SUSPENDED/.test(text));
  }

  async cancel(wait: number): Promise<void> {
    const answer = await this.#client.cancelled(
      this.#session,
      request({ method: "GET", path: `/${this.#marker()}`, serverId: "slow" }),
      this.#person.headers,
      () => delay(wait),
    );
    this.#check("cancelled", answer, (text) => /-32800|CALLS_SUSPENDED/.test(text));
  }

  async disconnect(wait: number): Promise<void> {
    const gone = new AbortController();
    const use = request({ method: "GET", path: `/${this.#marker()}`, serverId: "slow" });
    const call = this.#client.call(this.#session, use, this.#person.headers, gone.signal);
    await Promise.race([delay(wait), call.catch(() => {})]);
    gone.abort();
    await call.then(
      (answer) => this.#check("answered before it could disconnect", answer, () => true),
      () => this.#outcomes.count("disconnected"),
    );
  }

  /** True while its session is there. */
  async isKnown(): Promise<boolean> {
    const { status } = await this.#call({ method: "OPTIONS", path: "/" });
    return status === 200;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client[Symbol.asyncDispose]();
  }

  #call(parameters: object): Promise<Answered> {
    return this.#client.call(this.#session, request(parameters), this.#person.headers);
  }

  #marker(): string {
    return `marker-${this.#number}-${this.#turn++}-${randomBytes(4).toString("hex")}`;
  }

  #check(what: string, { status, text, id }: Answered, isRight: (text: string) => boolean): void {
    const foreign = [...text.matchAll(MARKER)].filter(([, number]) => Number(number) !== this.#number);
    const ids = [...text.matchAll(/"id":(\d+)[,}]/g)].filter(([, found]) => Number(found) !== id);
    if (foreign.length > 0 || ids.length > 0)
      this.#outcomes.mixed.push(`${this.#person.name} got ${text.slice(0, 300)} for ${what}`);
    if (status !== 200 || !isRight(text))
      this.#outcomes.failed.push(`${this.#person.name}, ${what}: ${status} ${text.slice(0, 300)}`);
    this.#outcomes.count(what);
  }
}

function request(parameters: object): ToolUse {
  return { name: "dav_request", arguments: parameters };
}
