/** A request that cannot be answered as it is, and what to say. */
export class BadRequest extends Error {
  readonly status: number;
  /** JSON-RPC. */
  readonly code: number;

  constructor(status: number, code: number, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}
