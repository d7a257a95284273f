/**
 * What happens when a request is sent twice. `safe`: nothing (GET, PROPFIND). `idempotent`: the same as once (PUT,
 * DELETE). `neither`: unknown, so it is never sent a second time once a byte of it may have left.
 */
export type Repeat = "safe" | "idempotent" | "neither";

/** What the engine needs to know about a request, told by its transport. Implementations reuse frozen instances. */
export interface RequestTraits {
  /** Short name with few distinct values, used for spans and metrics: `PROPFIND`, `tools/call`. */
  readonly operation: string;
  readonly repeat: Repeat;
  /** False when the body can be read only once. Such a request becomes `neither` as soon as its body flows. */
  readonly replayable: boolean;
  /**
   * Affinity keys (lock tokens, entity tags) that mean something on one server only. The engine sends the request
   * to the server that owns them, and to no other. Where nobody knows the owner, a safe request goes to any server, and
   * another one is refused.
   */
  readonly boundTo?: readonly string[];
  /**
   * A request with {@link boundTo} that may be repeated on its server after it was sent: it does nothing the second time.
   * Others could apply twice what their lock or entity tag was to guard.
   */
  readonly repeatableWhereBound?: boolean;
  /**
   * The part of a server that the request is about, such as the first folder of a path. Failures of one part alone say
   * nothing about the rest of the server. Leave it out where every request is about the whole server.
   */
  readonly resource?: string;
}
