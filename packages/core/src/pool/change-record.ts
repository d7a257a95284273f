import type { Log } from "../contracts/log.ts";
import type { ServersChange } from "../contracts/policy.ts";
import type { Caller, Wire } from "../contracts/wire.ts";
import type { Policies } from "./policies.ts";

type Fields = Readonly<Record<string, unknown>>;

export interface ChangeRecordParts<W extends Wire> {
  readonly pool: string;
  readonly policies: Policies<W>;
  readonly secretFields: readonly string[];
  readonly log: Log;
}

/** A change that a caller asks for. */
export interface WantedChange {
  readonly action: ServersChange["action"];
  readonly serverId: string | null;
  readonly caller: Caller | undefined;
  readonly from: Fields;
  readonly to: Fields;
}

const MASK = "[secret]";
const USER_INFO = /\/\/[^/@\s]*@/g;

/** Shows every change of servers to the policies before it is made, and to log and policies when it has been made. */
export class ChangeRecord<W extends Wire> {
  readonly #parts: ChangeRecordParts<W>;

  constructor(parts: ChangeRecordParts<W>) {
    this.#parts = parts;
  }

  /**
   * @param make makes the change. Its `also` are fields that changed besides those that were asked for.
   * @throws PolicyDeniedError, PolicyFailedError before anything is changed, and whatever `make` throws.
   */
  async around<T>(
    { action, serverId, caller = {}, from, to }: WantedChange,
    make: () => Promise<{ readonly result: T; readonly also?: Fields }>,
  ): Promise<T> {
    const { pool, policies, log } = this.#parts;
    const about = { pool, action, caller, ...(serverId !== null && { serverId }), from: this.#masked(from) };
    const wanted: ServersChange = { ...about, to: this.#masked(to) };
    try {
      await policies.beforeChange(wanted);
      const { result, also } = await make();
      const made = also ? { ...wanted, to: { ...wanted.to, ...this.#masked(also) } } : wanted;
      const { principal, session } = caller;
      log.info(`${principal ?? "A caller"} changed the servers of the pool: ${action} ${serverId ?? "none"}.`, {
        action,
        ...(serverId !== null && { serverId }),
        ...(principal !== undefined && { principal }),
        ...(session !== undefined && { session }),
        from: made.from,
        to: made.to,
      });
      policies.afterChange(made);
      return result;
    } catch (error) {
      policies.afterChange(wanted, error);
      throw error;
    }
  }

  /** What a caller wrote may be of any form, and hold a secret where none belongs. */
  #masked(fields: Fields): Fields {
    const secret = new Set(this.#parts.secretFields);
    return Object.fromEntries(
      Object.entries(fields).map(([name, value]) => {
        if (value === undefined || value === null) return [name, null];
        if (secret.has(name)) return [name, MASK];
        return [name, typeof value === "string" ? value.replaceAll(USER_INFO, `//${MASK}@`) : value];
      }),
    );
  }
}
