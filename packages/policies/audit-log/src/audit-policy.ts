import {
  ConfigError,
  describeError,
  type Clock,
  type Policy,
  type PolicyCall,
  type PolicyResult,
  type ServersChange,
} from "@davpool/core";
import type { AuditFile } from "./audit-file.ts";
import { auditLine, changeLine, type ArgumentDetail } from "./audit-line.ts";

export interface AuditPolicyInit {
  readonly pool: string;
  /** For messages. */
  readonly path: string;
  /** Closed together with the policy. */
  readonly file: AuditFile;
  readonly detail: ArgumentDetail;
  /** Refuse calls while nothing can be written. */
  readonly required: boolean;
  readonly clock: Clock;
}

/** Tells a file of every call that has ended, whichever policy or server ended it. */
export class AuditPolicy implements Policy, AsyncDisposable {
  readonly #init: AuditPolicyInit;

  constructor(init: AuditPolicyInit) {
    this.#init = init;
  }

  /** @throws ConfigError when the file cannot be opened: nobody wants to learn later that nothing was written. */
  async start(): Promise<void> {
    const { pool, path, file } = this.#init;
    try {
      await file.open();
    } catch (error) {
      const message = `the audit log cannot be opened (${describeError(error)}). Its folder must be there, and whoever runs davpool must be allowed to write ${path}.`;
      throw new ConfigError(undefined, [{ path: `pools.${pool}.policies`, message }], error);
    }
  }

  before(): { readonly deny: string } | undefined {
    return this.#denial();
  }

  beforeChange(): { readonly deny: string } | undefined {
    return this.#denial();
  }

  #denial(): { readonly deny: string } | undefined {
    const { required, file, pool } = this.#init;
    if (!required || file.isWell) return undefined;
    // Why it cannot be written is the operator's to know, and in the log.
    return { deny: `the audit log of pool "${pool}" cannot be written at present, and nothing is done without it` };
  }

  after(call: PolicyCall, result: PolicyResult): void {
    const { file, clock, detail } = this.#init;
    file.append(auditLine(call, result, clock.wall(), detail));
  }

  afterChange(change: ServersChange, failure?: unknown): void {
    const { file, clock } = this.#init;
    file.append(changeLine(change, failure, clock.wall()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#init.file[Symbol.asyncDispose]();
  }
}
