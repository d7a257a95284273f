import type { Log } from "../contracts/log.ts";
import type { Policy, PolicyCall, PolicyResult, Ruling, ServersChange } from "../contracts/policy.ts";
import type { ServerView } from "../contracts/selector.ts";
import type { MaybePromise, Wire } from "../contracts/wire.ts";
import { PolicyDeniedError, PolicyFailedError } from "../errors/call-errors.ts";
import { describeError, isDavpoolError } from "../errors/davpool-error.ts";

/** A policy under the name that the configuration has for it. */
export interface NamedPolicy<W extends Wire = Wire> {
  readonly name: string;
  readonly policy: Policy<W>;
}

/** A call as policies find it, and change it. */
export interface RuledCall<W extends Wire> {
  now(): PolicyCall<W>;
  change(request: W["request"]): void;
  /** Waits for a policy that takes its time, for no longer than the call may last. */
  wait<R>(work: Promise<R>, policy: string): Promise<R>;
}

/** The policies of a pool, in the order of the configuration. Whatever one of them does wrong is told with its name. */
export class Policies<W extends Wire> {
  readonly #policies: readonly NamedPolicy<W>[];
  readonly #judges: readonly NamedPolicy<W>[];
  readonly #log: Log;

  constructor(policies: readonly NamedPolicy<W>[], log: Log) {
    this.#policies = policies;
    this.#judges = policies.filter(({ policy }) => policy.allows !== undefined);
    this.#log = log;
  }

  get empty(): boolean {
    return this.#policies.length === 0;
  }

  /** Has each of them look at the call before it leaves. @throws PolicyDeniedError, PolicyFailedError */
  async before(call: RuledCall<W>): Promise<void> {
    for (const { name, policy } of this.#policies) {
      if (!policy.before) continue;
      const { operation } = call.now().traits;
      try {
        const given: MaybePromise<Ruling<W>> = policy.before(call.now());
        const ruling: unknown = given instanceof Promise ? await call.wait(given, name) : given;
        if (ruling === undefined || ruling === null) continue;
        const { deny, request } = ruling as { readonly deny?: unknown; readonly request?: unknown };
        if (typeof deny === "string") throw new PolicyDeniedError(operation, deny);
        if (typeof request !== "object" || request === null || deny !== undefined)
          throw new PolicyFailedError(operation, name, `returned ${described(ruling)} from before. ${RULINGS}`);
        call.change(request);
      } catch (error) {
        throw failure(operation, name, error);
      }
    }
  }

  /** Whether a server may take the call; undefined where all may. */
  judge(call: PolicyCall<W>): ((server: ServerView) => boolean) | undefined {
    if (this.#judges.length === 0) return undefined;
    return (server) => this.#judges.every((judge) => allows(judge, call, server));
  }

  /** Tells each of them how the call ended. */
  after(call: PolicyCall<W>, result: PolicyResult): void {
    this.#tell("a call", (policy) => policy.after?.(call, result));
  }

  /** Has each of them look at a change of servers before it is made. @throws PolicyDeniedError, PolicyFailedError */
  async beforeChange(change: ServersChange): Promise<void> {
    const operation = operationOf(change);
    for (const { name, policy } of this.#policies) {
      try {
        const ruling: unknown = await policy.beforeChange?.(change);
        if (ruling === undefined || ruling === null) continue;
        const { deny } = ruling as { readonly deny?: unknown };
        if (typeof deny === "string") throw new PolicyDeniedError(operation, deny);
        throw new PolicyFailedError(
          operation,
          name,
          `returned ${described(ruling)} from beforeChange. It may return nothing, or { deny } with the reason as text.`,
        );
      } catch (error) {
        throw failure(operation, name, error);
      }
    }
  }

  /** Tells each of them how the change ended. */
  afterChange(change: ServersChange, failure?: unknown): void {
    this.#tell("a change of servers", (policy) => policy.afterChange?.(change, failure));
  }

  #tell(what: string, tell: (policy: Policy<W>) => void): void {
    for (const { name, policy } of this.#policies) {
      const failed = (error: unknown) =>
        this.#log.error(`The policy "${name}" failed after ${what}.`, { error: describeError(error) });
      try {
        const told: unknown = tell(policy);
        // An async function is one to the types; what it rejects with must not end the process.
        if (told instanceof Promise) told.catch(failed);
      } catch (error) {
        failed(error);
      }
    }
  }
}

const RULINGS =
  "It may return nothing, { deny } with the reason as text, or { request } with the request to go on with.";

function allows<W extends Wire>({ name, policy }: NamedPolicy<W>, call: PolicyCall<W>, server: ServerView): boolean {
  try {
    return policy.allows?.(call, server) ?? true;
  } catch (error) {
    throw failure(call.traits.operation, name, error);
  }
}

/** What a policy throws on purpose stays as it is. */
function failure(operation: string, policy: string, error: unknown): unknown {
  if (isDavpoolError(error)) return error;
  return new PolicyFailedError(operation, policy, `failed: ${describeError(error)}`, { cause: error });
}

/** What a change of servers is called in errors and audit logs, such as `servers/update`. */
export function operationOf({ action }: ServersChange): string {
  return `servers/${action}`;
}

function described(ruling: unknown): string {
  if (typeof ruling === "object") return `an object with ${Object.keys(ruling ?? {}).join(", ") || "nothing"}`;
  return `the ${typeof ruling} ${describeError(ruling).slice(0, 50)}`;
}
