import type { AffinityChange } from "./affinity-store.ts";
import type { ConnectInit, Connection } from "./connection.ts";
import type { Failure } from "./failure.ts";
import type { RequestTraits } from "./request-traits.ts";
import type { ServerOrigin } from "./server-profile.ts";
import type { Caller, MaybePromise, Wire } from "./wire.ts";

/**
 * The only contract that knows a protocol. One instance serves one pool.
 *
 * Everything here except `connect` is called on the hot path: keep it synchronous and free of allocation where the
 * answer does not depend on the request.
 */
export interface Transport<W extends Wire = Wire> {
  readonly name: string;
  /** Profile fields that are secret: encrypted on disk, left out of lists, logs and errors. */
  readonly secretFields: readonly string[];
  /**
   * Where the secrets of a profile are sent, such as `https://dav.example.com:8443`. A stored secret is bound to it: a
   * change of the profile that changes this drops the secrets that are not given anew. Default: the secrets stay.
   */
  secretsOrigin?(profile: Readonly<Record<string, unknown>>): string | undefined;
  /** Fields that are of no use without the secrets and are dropped with them: a user name. Default: none. */
  readonly accountFields?: readonly string[];
  /**
   * Judges a profile before it joins the pool, beyond what its schema can say.
   * @returns warnings for the operator, each one sentence.
   * @throws DavpoolError to refuse it.
   */
  admit?(profile: W["profile"], origin: ServerOrigin): MaybePromise<readonly string[]>;
  /**
   * The key under which the protocol needs connections inside one server to be kept apart, such as sessions. Health,
   * limits and latency belong to the server, connections to the partition. Default: `""` for every caller. Principals
   * with credentials of their own are kept apart by {@link CredentialSource.partition} whatever this says.
   *
   * A caller for whom it names one stays with the server where that connection is open, as long as that server can be
   * asked: what the server keeps for it is nowhere else.
   */
  partition?(profile: W["profile"], caller: Caller): string;
  connect(profile: W["profile"], init: ConnectInit): Promise<Connection<W>>;
  traits(request: W["request"]): RequestTraits;
  /** False when this server cannot take the request at all (a replica without the tool). Default: true. */
  serves?(profile: W["profile"], request: W["request"]): boolean;
  /** The failure a response stands for, if it does: a 503 is both. What it means may depend on the request. */
  judge(response: W["response"], request: W["request"]): Failure | undefined;
  /**
   * How a server said no, in a word of its protocol's: an HTTP status, the code of an error. Undefined where it did what
   * it was asked. Unlike a failure it is nothing to try again elsewhere; policies are told. Default: never.
   */
  refusal?(response: W["response"]): string | number | undefined;
  /** What an error thrown by a connection means. Never throws. */
  explain(error: unknown): Failure;
  /** What a response teaches about which server owns which lock or entity tag. */
  affinity?(request: W["request"], response: W["response"]): MaybePromise<readonly AffinityChange[]>;
  /**
   * After an attempt whose outcome is unknown, a repeat may find the work already done: a 404 to a repeated DELETE.
   * Asks the server that gave `response` whether the state is now the one `request` wanted.
   * @returns the response to give instead, or undefined when the state is not the wanted one.
   */
  verify?(
    request: W["request"],
    response: W["response"],
    ask: (request: W["request"]) => Promise<W["response"]>,
  ): Promise<W["response"] | undefined>;
  /**
   * Lets go of a response nobody will read, so that its socket is free again. Harmless when it was read already, in
   * part or to its end.
   */
  discard(response: W["response"]): void;
}
