import { isAbsolute, resolve } from "node:path";
import {
  InvalidProfileError,
  describeError,
  resolveSecret,
  type AddressGuard,
  type Clock,
  type ConnectInit,
  type Log,
  type Secret,
  type SecretContext,
} from "@davpool/core";
import type { Channel } from "./channel.ts";
import type { Opening } from "./connection.ts";
import type { Eras } from "./eras.ts";
import { ConnectionClosedError, UnusableAnswerError } from "./errors.ts";
import { httpAgent } from "./http/agent.ts";
import { bearer } from "./http/authorization.ts";
import { ClientCredentials } from "./http/client-credentials.ts";
import { HttpChannel } from "./http/http-channel.ts";
import { SseChannel } from "./http/sse-channel.ts";
import type { McpHost } from "./host.ts";
import { Link, type LinkSettings } from "./link.ts";
import { problemAt } from "./problem.ts";
import { argv, serverOf } from "./profile.ts";
import { isSession, type Sessions } from "./sessions.ts";
import { StdioChannel } from "./stdio/stdio-channel.ts";
import type { McpProfile } from "./wire.ts";

/** What all servers of a pool have in common. */
export interface TransportSettings {
  /** How davpool calls itself. */
  readonly name: string;
  readonly version: string;
  /** Milliseconds, as all durations here. */
  readonly startTimeout: number;
  readonly connectTimeout: number;
  readonly probeTimeout: number;
  readonly grace: number;
  readonly firstPause: number;
  readonly longestPause: number;
  /** Bytes. */
  readonly longestMessage: number;
}

/** Where everything comes from that a session needs. */
export interface OpeningParts {
  readonly settings: TransportSettings;
  readonly eras: Eras;
  readonly secrets: SecretContext;
  readonly addresses: AddressGuard;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
  /** The pool's name. */
  readonly pool: string;
  readonly host: McpHost;
  readonly sessions: Sessions;
}

const LEGACY = { kind: "legacy" } as const;

type Begin = (channel: Channel, prior?: typeof LEGACY) => Promise<Link>;

/** How links begin with one server. */
interface Greeting {
  readonly begin: Begin;
  /**
   * Whether to try the older era first. Callers have sessions in that one only, and so have servers that speak both: what
   * belongs to a session is in it.
   */
  readonly olderFirst: () => boolean;
}

/** How sessions with one server begin: as processes, or over HTTP. */
export function openingOf(profile: McpProfile, init: ConnectInit, parts: OpeningParts): Opening {
  const { settings, eras, pool, host, clock, log, random, sessions } = parts;
  const { partition } = init;
  const { serverId, era = "auto" } = profile;
  const server = serverOf(profile);
  const linked: LinkSettings = {
    name: settings.name,
    version: settings.version,
    probeTimeout: settings.probeTimeout,
    host,
    session: { pool, serverId, partition, relates: profile.url !== undefined && profile.transport !== "sse" },
    clock,
    log,
    random,
  };
  const begin: Begin = async (channel, prior) => {
    const link = await Link.open(channel, era, prior ?? eras.known(server), linked);
    // That it speaks the older era as well does not make it one of that.
    if (!prior || eras.known(server)?.kind !== "modern") eras.learn(server, link.verdict);
    return link;
  };
  const greeting: Greeting = {
    begin,
    olderFirst: () => era === "auto" && isSession(partition) && !eras.modernOnly(server),
  };
  const common = {
    serverId,
    ofSession: isSession(partition),
    doubt: () => eras.forget(server),
    troubled: () => init.troubled?.(),
    startTimeout: settings.startTimeout,
    firstPause: settings.firstPause,
    longestPause: settings.longestPause,
    random,
  };
  const own =
    profile.url === undefined
      ? ofCommand(profile, server, init, parts, greeting)
      : ofAddress(profile, profile.url, server, init, parts, greeting);
  const place = sessions.take(profile, partition);
  const release = async () => {
    await own.release();
    place.left();
  };
  return { ...common, ...own, release, leaving: () => place.leaving() };
}

type OwnPart = Pick<Opening, "open" | "problem" | "release" | "costly">;

function ofCommand(
  profile: McpProfile,
  server: string,
  init: ConnectInit,
  parts: OpeningParts,
  { begin, olderFirst }: Greeting,
): OwnPart {
  const { settings, eras, secrets, clock, log } = parts;
  if (init.credentials)
    throw new InvalidProfileError(profile.serverId, [
      "command: credentials of a principal cannot be given to a process that all share; give the server a url, or put what it needs into env.",
    ]);
  const [program, ...args] = argv(profile);
  const { baseDirectory } = secrets;
  const cwd = profile.cwd === undefined ? baseDirectory : resolve(baseDirectory, profile.cwd);
  // A path counts from the configuration's folder, wherever the process runs; a bare name is looked for in PATH.
  const path = /[\\/]/.test(program) && !isAbsolute(program) ? resolve(baseDirectory, program) : program;
  return {
    costly: true,
    release: () => Promise.resolve(),
    problem: (error) => describeError(error),
    async open(signal) {
      const found = await resolveAll(profile.env, secrets, signal);
      const env = { ...inherited(secrets.environment, profile.inheritEnv), ...found };
      const channel = () =>
        new StdioChannel(
          { program: path, args, env, cwd },
          {
            serverId: profile.serverId,
            clock,
            log,
            longestMessage: settings.longestMessage,
            grace: settings.grace,
            secrets: Object.values(found),
          },
        );
      const first = channel();
      const older = olderFirst();
      try {
        return await started(first, () => begin(first, older ? LEGACY : undefined), signal, true);
      } catch (error) {
        if (signal.aborted || profile.era === "modern") throw error;
        const second = channel();
        if (older) {
          const link = await started(second, () => begin(second), signal, true);
          if (link.era === "modern") eras.lacksOlder(server);
          return link;
        }
        if (error instanceof UnusableAnswerError && eras.known(server)?.kind === "modern") {
          // It was replaced by a program of the older era.
          eras.forget(server);
          return await started(second, () => begin(second), signal, true);
        }
        if (!first.puzzled) throw error;
        // Servers of the older era may end when the first thing they hear is not `initialize`.
        return await started(second, () => begin(second, LEGACY), signal, true);
      }
    },
  };
}

function ofAddress(
  profile: McpProfile,
  url: string,
  server: string,
  init: ConnectInit,
  parts: OpeningParts,
  { begin, olderFirst }: Greeting,
): OwnPart {
  const { settings, eras, secrets, clock, addresses } = parts;
  const added = init.origin === "added";
  // An address that needs no lookup is judged here, a name when it is looked up.
  if (added) addresses.connecting(new URL(url));
  const agent = httpAgent(settings.connectTimeout, added ? addresses.lookup : undefined);
  const { oauth } = profile;
  const authorization =
    oauth && init.credentials?.token === undefined
      ? new ClientCredentials(oauth, url, () => resolveSecret(oauth.clientSecret, secrets, init.signal), agent, clock)
      : bearer(init.credentials?.token);
  return {
    costly: false,
    release: () => agent.destroy(),
    problem: (error) => problemAt(url, error),
    async open(signal) {
      const found = await resolveAll(profile.headers, secrets, signal);
      const headers = {
        "user-agent": `${settings.name}/${settings.version}`,
        ...Object.fromEntries(Object.entries(found).map(([name, value]) => [name.toLowerCase(), value])),
      };
      const secret = Object.keys(found).length > 0;
      const endpoint = {
        serverId: profile.serverId,
        url,
        agent,
        authorization,
        headers,
        secret,
        longestMessage: settings.longestMessage,
      };
      const old = profile.transport === "sse";
      const greeted = (prior?: typeof LEGACY) => {
        const channel = old ? new SseChannel(endpoint) : new HttpChannel(endpoint, clock);
        return started(channel, () => begin(channel, prior), signal, false);
      };
      if (old || !olderFirst()) return greeted(old ? LEGACY : undefined);
      try {
        return await greeted(LEGACY);
      } catch (error) {
        // One that cannot be reached says nothing about what it speaks.
        if (signal.aborted || eras.known(server)?.kind !== "modern") throw error;
        const link = await greeted();
        if (link.era === "modern") eras.lacksOlder(server);
        return link;
      }
    },
  };
}

/**
 * Begins a session on a channel, and closes the channel if that fails or takes too long. A process that was greeted from
 * memory has said nothing yet, so it is asked.
 */
async function started(
  channel: Channel,
  begin: () => Promise<Link>,
  signal: AbortSignal,
  asked: boolean,
): Promise<Link> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason as Error);
  signal.addEventListener("abort", abort, { once: true });
  if (signal.aborted) abort();
  const beginning = (async () => {
    const link = await begin();
    if (asked && link.era === "modern") await link.ping(signal);
    return link;
  })();
  beginning.catch(() => {});
  let ended: Error | undefined;
  void channel.ended.then((why) => (ended = why));
  try {
    return await Promise.race([beginning, aborted]);
  } catch (error) {
    // How a process ended says more than that it did; that this side closed a channel says nothing.
    const why = signal.aborted || ended instanceof ConnectionClosedError ? error : (ended ?? error);
    await channel.close();
    throw why;
  } finally {
    aborted.catch(() => {});
    signal.removeEventListener("abort", abort);
  }
}

/** What processes find in their environment, as the SDK gives it: enough to run, and no secrets. */
const USUAL =
  process.platform === "win32"
    ? [
        "APPDATA",
        "HOMEDRIVE",
        "HOMEPATH",
        "LOCALAPPDATA",
        "PATH",
        "PROCESSOR_ARCHITECTURE",
        "SYSTEMDRIVE",
        "SYSTEMROOT",
        "TEMP",
        "USERNAME",
        "USERPROFILE",
        "PROGRAMFILES",
      ]
    : ["HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER"];

function inherited(
  environment: SecretContext["environment"],
  more: readonly string[] = [],
): Readonly<Record<string, string>> {
  const names = [...USUAL, ...more];
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = environment[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

async function resolveAll(
  values: Readonly<Record<string, Secret>> = {},
  context: SecretContext,
  signal: AbortSignal,
): Promise<Readonly<Record<string, string>>> {
  const found = Object.entries(values).map(
    async ([name, secret]) => [name, await resolveSecret(secret, context, signal)] as const,
  );
  return Object.fromEntries(await Promise.all(found));
}
