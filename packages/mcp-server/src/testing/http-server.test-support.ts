import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  createManualClock,
  openPools,
  systemClock,
  type Clock,
  type Log,
  type LogFields,
  type ManualClock,
  type OpenPools,
} from "@davpool/core";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { Client as OlderClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport as OlderTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { identityOf, readConfiguration } from "../configuration.ts";
import { EXTENSION, joined, type Extension } from "../extension.ts";
import { McpEndpoint } from "../http/endpoint.ts";
import { HttpHost, type Patience } from "../http/http-host.ts";
import { httpSettings, type HttpSection } from "../http/section.ts";
import { Authenticator, type IdentitySettings } from "../identity/index.ts";
import { readIdentity } from "../identity/settings.ts";
import { Clients } from "../gateway/clients.ts";
import { McpServers } from "../mcp-server.ts";
import { MCP_HOST } from "@davpool/transport-mcp";
import { contentsOf } from "../running.ts";
import { sessionSettings, type SessionsSection } from "../sessions/section.ts";
import type { SessionPool } from "../sessions/session-pool.ts";
import { temporaryFolder } from "./davpool-process.test-support.ts";

export interface LogLine {
  readonly level: keyof Log;
  readonly message: string;
  readonly fields: LogFields | undefined;
}

export interface TestHttpServer extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** The server's own time, which is not that of its pools. */
  readonly clock: ManualClock;
  readonly sessions: SessionPool;
  readonly servers: McpServers;
  readonly open: OpenPools;
  readonly lines: readonly LogLine[];
  /** Resolves when nothing is kept for sessions that have ended. */
  released(): Promise<void>;
  /** Goes over to another section `identity`, as a reload does. */
  identifyBy(section: object): void;
  /** Posts a message of the protocol, as a client would. */
  post(message: unknown, headers?: Readonly<Record<string, string>>): Promise<Response>;
  /** Opens a session by hand and returns its id. */
  initialize(headers?: Readonly<Record<string, string>>): Promise<string>;
  connect(line: "older" | "newer", headers?: Readonly<Record<string, string>>): Promise<Client>;
  close(): Promise<void>;
}

export const ACCEPT = { "content-type": "application/json", accept: "application/json, text/event-stream" };

export const INITIALIZE = {
  jsonrpc: "2.0",
  id: 0,
  method: "initialize",
  params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "test", version: "1" } },
} as const;

/** A whole server on a real port, in this process. */
export async function startHttpServer(
  config: object,
  options: {
    readonly extension?: Extension;
    readonly systemTime?: boolean;
    readonly patience?: Patience;
    /** Default: the system's. */
    readonly poolClock?: Clock;
  } = {},
): Promise<TestHttpServer> {
  const folder = await temporaryFolder();
  await writeFile(join(folder.path, "davpool.config.json"), JSON.stringify({ store: "memory", ...config }));
  const resolved = await readConfiguration({ directory: folder.path, environment: {} });
  const manual = createManualClock();
  const clock: Clock = options.systemTime === true ? systemClock : manual;
  const lines: LogLine[] = [];
  const write = (level: keyof Log) => (message: string, fields?: LogFields) =>
    void lines.push({ level, message, fields });
  const log: Log = { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") };
  const clients = new Clients(log);
  const open = await openPools(resolved, {
    clock: options.poolClock ?? systemClock,
    log,
    provide: (services) => services.provide(MCP_HOST, clients),
  });
  const { http, sessions } = resolved.sections;
  const settings = { ...httpSettings(http as HttpSection | undefined), port: 0 };
  const extension = options.extension ?? joined(open.services.all(EXTENSION));
  const servers = new McpServers({
    ...contentsOf(resolved, open),
    clients,
    clock,
    extension,
    log,
  });
  const endpoint = new McpEndpoint({
    servers,
    sessions: sessionSettings(sessions as SessionsSection | undefined),
    maxRequestSize: settings.maxRequestSize,
    requestMemory: settings.requestMemory,
    clock,
    log,
  });
  const authenticated = (settings: IdentitySettings) => ({
    settings,
    authenticator: new Authenticator(settings, { clock, log }),
  });
  const identity = identityOf(resolved);
  const host = new HttpHost({
    settings,
    endpoint,
    identity: identity && authenticated(identity),
    pools: open.pools,
    metricsHandler: undefined,
    clock,
    log,
    ...(options.patience && { patience: options.patience }),
  });
  const { port } = await host.listen();
  const url = `http://127.0.0.1:${port}/mcp`;
  const post: TestHttpServer["post"] = (message, headers = {}) =>
    fetch(url, { method: "POST", headers: { ...ACCEPT, ...headers }, body: JSON.stringify(message) });
  let closed: Promise<void> | undefined;
  const close = () =>
    (closed ??= (async () => {
      await host.close();
      servers[Symbol.dispose]();
      await open[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    })());
  return {
    url,
    port,
    clock: manual,
    sessions: endpoint.sessions,
    servers,
    open,
    lines,
    post,
    released: () => servers.released(),
    identifyBy: (section) => host.identifyBy(authenticated(readIdentity(section))),
    async initialize(headers) {
      const response = await post(INITIALIZE, headers);
      await response.text();
      const id = response.headers.get("mcp-session-id") ?? "";
      await (
        await post({ jsonrpc: "2.0", method: "notifications/initialized" }, { ...headers, "mcp-session-id": id })
      ).text();
      return id;
    },
    async connect(line, headers) {
      const older = line === "older";
      const client = older
        ? new OlderClient({ name: "test", version: "1.0.0" })
        : new Client({ name: "test", version: "1.0.0" }, { versionNegotiation: { mode: "auto" } });
      const where = new URL(url);
      const parameters = { ...(headers && { requestInit: { headers } }) };
      await (client as Client).connect(
        older ? new OlderTransport(where, parameters) : new StreamableHTTPClientTransport(where, parameters),
      );
      return client as Client;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** The messages of an answer, whether it came as JSON or as a stream of events. */
// oxlint-disable-next-line typescript/no-explicit-any -- tests look into answers of every shape
export async function messagesOf(response: Response): Promise<any[]> {
  const text = await response.text();
  if (response.headers.get("content-type")?.startsWith("text/event-stream") !== true)
    return text === "" ? [] : [JSON.parse(text) as unknown];
  return text
    .split("\n")
    .filter((line) => line.startsWith("data: ") && line.length > 6)
    .map((line) => JSON.parse(line.slice(6)) as unknown);
}
