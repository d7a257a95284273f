import { ConfigError, ID_PATTERN, suggestion } from "@davpool/core";
import type { McpServerInput, McpServerPoolOptions } from "./options.ts";
import { STRATEGIES, type StrategyName } from "./strategy.ts";

const SERVERS = "MCP_SERVERS";
const STRATEGY = "LOAD_BALANCING_STRATEGY";
const EXAMPLE = `${SERVERS}=mcp-server-1:8080,mcp-server-2:8080`;

/**
 * What the environment says about a pool, to be spread into its options:
 *
 * - `MCP_SERVERS`: servers, separated by commas, each a host with its port (`mcp-server-1:8080`, which is
 *   `http://mcp-server-1:8080/mcp`) or a whole URL. The host is its `serverId`, with the port where hosts repeat;
 *   `id=address` gives it another.
 * - `LOAD_BALANCING_STRATEGY`: a strategy's name, with dashes or underscores. Not set: the pool's default.
 *
 * @example
 * ```ts
 * await using pool = await McpServerPool.open({ ...optionsFromEnvironment(), maxRetries: 5 });
 * ```
 * @throws ConfigError with everything that is wrong with them, or when `MCP_SERVERS` is not set.
 */
export function optionsFromEnvironment(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Pick<McpServerPoolOptions, "strategy"> & { readonly servers: readonly McpServerInput[] } {
  const issues: { path: string; message: string }[] = [];
  const wrong = (path: string, message: string) => void issues.push({ path, message });
  const servers = serversOf(environment[SERVERS] ?? "", wrong);
  const strategy = strategyOf(environment[STRATEGY] ?? "", wrong);
  if (issues.length > 0) throw new ConfigError("The environment", issues);
  return { servers, ...(strategy !== undefined && { strategy }) };
}

type Wrong = (path: string, message: string) => void;

function serversOf(text: string, wrong: Wrong): readonly McpServerInput[] {
  const entries = text.split(",").map((entry) => entry.trim());
  if (entries.every((entry) => entry === "")) {
    wrong(SERVERS, `is not set. Name the servers, separated by commas: ${EXAMPLE}.`);
    return [];
  }
  const hosts = new Map<string, number>();
  const read = entries.flatMap((entry, index) => {
    const path = `${SERVERS}[${index}]`;
    const server = serverOf(entry);
    if (typeof server === "string") {
      wrong(path, server);
      return [];
    }
    if (server.id === undefined) hosts.set(server.url.hostname, (hosts.get(server.url.hostname) ?? 0) + 1);
    return { ...server, path };
  });
  const taken = new Set<string>();
  return read.flatMap(({ id, url, path }) => {
    const { hostname, port } = url;
    const serverId = id ?? ((hosts.get(hostname) ?? 0) > 1 && port !== "" ? `${hostname}-${port}` : hostname);
    if (!new RegExp(ID_PATTERN).test(serverId))
      wrong(
        path,
        `"${serverId}" cannot be a serverId: that is a letter or digit, then up to 31 letters, digits, dots, dashes or underscores. Name the server: some-id=${url.href}.`,
      );
    else if (taken.has(serverId))
      wrong(path, `there is a server "${serverId}" before it. Leave one out, or name it: other-id=${url.href}.`);
    taken.add(serverId);
    return { serverId, url: url.href };
  });
}

/** @returns what is wrong with it, as text. */
function serverOf(entry: string): { readonly id: string | undefined; readonly url: URL } | string {
  const [, id, address = ""] = /^(?:([^=/?#]*)=)?(.*)$/s.exec(entry) ?? [];
  const whole = /^[a-z][a-z0-9+.-]*:\/\//i.test(address);
  const url = URL.parse(whole ? address : `http://${address}`);
  if (address === "" || !url || !/^https?:$/.test(url.protocol))
    return `${JSON.stringify(entry)} is no address of a server: write host:port or a URL, as in ${EXAMPLE}.`;
  // What stands in a variable of addresses is shown in errors and reports.
  if (url.username !== "" || url.password !== "")
    return `the address of ${url.host} holds a user or password. Leave it out, and give the server a token in the program.`;
  if (!whole && url.pathname === "/") url.pathname = "/mcp";
  return { id, url };
}

function strategyOf(text: string, wrong: Wrong): StrategyName | undefined {
  const written = text.trim();
  if (written === "") return undefined;
  const name = written.toLowerCase().replaceAll("_", "-");
  const found = STRATEGIES.find((strategy) => strategy === name);
  if (!found) {
    const meant = suggestion(name, STRATEGIES);
    wrong(
      STRATEGY,
      `"${written}" is no strategy. Strategies: ${STRATEGIES.join(", ")}.${meant === undefined ? "" : ` ${meant}`}`,
    );
  }
  return found;
}
