import type { AffinityChange } from "../contracts/affinity-store.ts";
import type { Attempt, ConnectInit, Connection } from "../contracts/connection.ts";
import type { Failure } from "../contracts/failure.ts";
import type { Repeat } from "../contracts/request-traits.ts";
import type { ServerProfile } from "../contracts/server-profile.ts";
import type { Transport } from "../contracts/transport.ts";
import type { Wire } from "../contracts/wire.ts";
import { RunningAttempt } from "../pool/attempt.ts";

export interface ScriptedRequest {
  readonly operation: string;
  readonly repeat: Repeat;
  readonly replayable?: boolean;
  readonly boundTo?: readonly string[];
  readonly resource?: string;
}

export interface ScriptedResponse {
  readonly status: number;
  readonly serverId: string;
  readonly retryAfter?: number;
  readonly affinity?: readonly AffinityChange[];
  /** Present when the body flows on after the headers. */
  readonly body?: FlowingBody;
  discarded: number;
}

export interface FlowingBody {
  readonly attempt: Attempt;
  /** Bytes arrive. */
  flow(bytes: number): void;
  end(failure?: Failure): void;
}

export interface ScriptedProfile extends ServerProfile {
  readonly url?: string;
  readonly password?: unknown;
}

export interface ScriptedWire extends Wire {
  request: ScriptedRequest;
  response: ScriptedResponse;
  profile: ScriptedProfile;
}

/** What one server does with one request. */
export type Behaviour = (attempt: Attempt, request: ScriptedRequest) => Promise<ScriptedResponse>;

/** An error that says itself what it means. */
export class ScriptedError extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.message);
    this.failure = failure;
  }
}

/** Settles when `signal` aborts, with its reason. */
export function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const leave = () => reject(signal.reason as Error);
    if (signal.aborted) leave();
    else signal.addEventListener("abort", leave, { once: true });
  });
}

type Extra = Partial<Pick<ScriptedResponse, "retryAfter" | "affinity">>;

/** Answers at once. */
export const answer =
  (status = 200, extra: Extra = {}): Behaviour =>
  (attempt) => {
    attempt.sent();
    return Promise.resolve({ status, serverId: attempt.serverId, discarded: 0, ...extra });
  };

/** Nothing could be sent. */
export const refuse: Behaviour = () =>
  Promise.reject(
    new ScriptedError({ kind: "unsent", blame: "server", message: "connection refused", code: "ECONNREFUSED" }),
  );

/** The connection ends after the request may have been sent. */
export const breakOff: Behaviour = (attempt) => {
  attempt.sent();
  return Promise.reject(
    new ScriptedError({ kind: "broken", blame: "server", message: "connection reset", code: "ECONNRESET" }),
  );
};

/** Takes the request and says nothing. */
export const hang: Behaviour = (attempt) => {
  attempt.sent();
  return aborted(attempt.signal);
};

/** Cannot be reached, without saying so. */
export const hangUnsent: Behaviour = (attempt) => aborted(attempt.signal);

/** Does not even stop when it is told to. */
export const ignoreEverything: Behaviour = (attempt) => {
  attempt.sent();
  return new Promise(() => undefined);
};

/** The request could not be formed. */
export const invalid: Behaviour = () =>
  Promise.reject(new ScriptedError({ kind: "invalid", blame: "request", message: "no such path" }));

/** Answers with headers; the body flows when the test says so. */
export function stream(bodies: FlowingBody[], status = 200): Behaviour {
  return (attempt) => {
    attempt.sent();
    const release = attempt.hold();
    const body = { attempt, flow: (bytes: number) => attempt.progress(bytes), end: release };
    attempt.signal.addEventListener("abort", () => release({ kind: "broken", blame: "request", message: "aborted" }), {
      once: true,
    });
    bodies.push(body);
    return Promise.resolve({ status, serverId: attempt.serverId, discarded: 0, body });
  };
}

/** First one, then the next; the last one from then on. */
export function sequence(...behaviours: readonly [Behaviour, ...Behaviour[]]): Behaviour {
  let turn = 0;
  return (attempt, request) => {
    const behaviour = behaviours[Math.min(turn++, behaviours.length - 1)] ?? behaviours[0];
    return behaviour(attempt, request);
  };
}

/** One server of the script: what it does, and what was done to it. */
export class ScriptedServer {
  behaviour: Behaviour = answer();
  connect: (init: ConnectInit) => Promise<void> = () => Promise.resolve();
  probe: (signal: AbortSignal) => Promise<string | void> = () => Promise.resolve();
  /** What its connections say of themselves. */
  lasting = false;
  /** Attempts, and those of them in which a byte may have left. */
  asked = 0;
  sent: ScriptedRequest[] = [];
  probes = 0;
  opened = 0;
  closed = 0;
  responses: ScriptedResponse[] = [];
  attempts: Attempt[] = [];
  /** Trials under way, and the most there ever were at one time. */
  trials = 0;
  mostTrials = 0;
}

/** A transport whose servers do what a test tells them, without sockets. */
export class ScriptedTransport implements Transport<ScriptedWire> {
  readonly name = "scripted";
  readonly secretFields = ["password"];
  readonly servers = new Map<string, ScriptedServer>();
  readonly inits: ConnectInit[] = [];
  admit?: NonNullable<Transport<ScriptedWire>["admit"]>;
  serves?: NonNullable<Transport<ScriptedWire>["serves"]>;
  refusal?: NonNullable<Transport<ScriptedWire>["refusal"]>;
  verify?: NonNullable<Transport<ScriptedWire>["verify"]>;
  partition?: NonNullable<Transport<ScriptedWire>["partition"]>;

  server(serverId: string): ScriptedServer {
    let server = this.servers.get(serverId);
    if (!server) this.servers.set(serverId, (server = new ScriptedServer()));
    return server;
  }

  async connect(profile: ScriptedProfile, init: ConnectInit): Promise<Connection<ScriptedWire>> {
    const server = this.server(profile.serverId);
    this.inits.push(init);
    await server.connect(init);
    server.opened++;
    return {
      send: async (request, attempt) => {
        server.asked++;
        const watched: Attempt = {
          serverId: attempt.serverId,
          ordinal: attempt.ordinal,
          caller: attempt.caller,
          signal: attempt.signal,
          sent: () => {
            server.sent.push(request);
            attempt.sent();
          },
          progress: (bytes) => attempt.progress(bytes),
          hold: () => attempt.hold(),
          streamed: attempt.streamed,
          resume: (failure) => attempt.resume(failure),
          wait: () => attempt.wait?.() ?? { [Symbol.dispose]: () => {} },
        };
        server.attempts.push(watched);
        let trial = attempt instanceof RunningAttempt && attempt.trial ? 1 : 0;
        server.trials += trial;
        server.mostTrials = Math.max(server.mostTrials, server.trials);
        // At once when it is given up, whatever it does then: the next one may begin in the same moment.
        const ended = () => {
          server.trials -= trial;
          trial = 0;
        };
        attempt.signal.addEventListener("abort", ended, { once: true });
        try {
          const response = await server.behaviour(watched, request);
          server.responses.push(response);
          return response;
        } finally {
          ended();
        }
      },
      probe: (signal) => {
        server.probes++;
        return server.probe(signal);
      },
      get lasting() {
        return server.lasting;
      },
      stats: () => ({ active: 1, idle: 2, max: profile.maxConnections }),
      [Symbol.asyncDispose]: () => {
        server.closed++;
        return Promise.resolve();
      },
    };
  }

  traits(request: ScriptedRequest) {
    return { replayable: true, ...request };
  }

  judge({ status, retryAfter }: ScriptedResponse): Failure | undefined {
    const failure = { message: `it answered ${status}`, code: status, ...(retryAfter !== undefined && { retryAfter }) };
    if (status === 503) return { ...failure, kind: "overload", blame: "server" };
    if (status === 401) return { ...failure, kind: "refused", blame: "request" };
    if (status < 500) return undefined;
    const mayBeDone = status === 502 || status === 504;
    return { ...failure, kind: "unavailable", blame: "server", ...(mayBeDone && { mayBeDone }) };
  }

  explain(error: unknown): Failure {
    if (error instanceof ScriptedError) return error.failure;
    const code = (error as { code?: string }).code;
    if (code === "SECRET_UNREADABLE")
      return { kind: "unsent", blame: "request", message: (error as Error).message, cause: error };
    return { kind: "broken", blame: "server", message: String(error), cause: error };
  }

  affinity(_request: ScriptedRequest, response: ScriptedResponse): readonly AffinityChange[] {
    return response.affinity ?? [];
  }

  discard(response: ScriptedResponse): void {
    response.discarded++;
    response.body?.end();
  }
}
