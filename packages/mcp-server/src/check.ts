import { access, constants } from "node:fs/promises";
import { resolve } from "node:path";
import {
  ConfigError,
  formatIssue,
  hostOf,
  isLoopback,
  member,
  type ConfigIssue,
  type ResolvedConfig,
} from "@davpool/core";
import { readConfiguration } from "./configuration.ts";
import type { Terminal } from "./terminal.ts";

/** Profile fields that are sent to a server to say who asks. */
const CREDENTIALS = ["username", "password", "token", "headers", "oauth"] as const;

/** Checks a configuration and says everything that is wrong with it. @returns whether nothing is. */
export async function check(file: string | undefined, json: boolean, terminal: Terminal): Promise<boolean> {
  try {
    const config = await readConfiguration({ file });
    const issues = await problemsOf(config);
    if (issues.length > 0) throw new ConfigError(config.file, issues);
    const warnings = warningsOf(config);
    const pools = config.pools.map((pool) => ({
      name: pool.name,
      transport: String(pool.transport.plugin.name),
      strategy: String(pool.strategy.plugin.name),
      servers: pool.servers.map((server) => server.serverId),
    }));
    if (json) {
      const found = { valid: true, file: config.file ?? null, pools, ...(warnings.length > 0 && { warnings }) };
      terminal.out(`${JSON.stringify(found, null, 2)}\n`);
      return true;
    }
    terminal.out(`${config.file ?? "The environment (there is no configuration file)"} is right.\n`);
    for (const { name, transport, strategy, servers } of pools)
      terminal.out(`  pool ${name}: ${transport}, ${strategy}, servers: ${servers.join(", ") || "none declared"}\n`);
    for (const warning of warnings) terminal.error(`Warning: ${formatIssue(warning)}\n`);
    return true;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    if (json)
      terminal.out(`${JSON.stringify({ valid: false, file: error.file ?? null, issues: error.issues }, null, 2)}\n`);
    else {
      terminal.error(`${error.file ?? "The configuration"} is wrong:\n`);
      for (const issue of error.issues) terminal.error(`  ${formatIssue(issue)}\n`);
    }
    return false;
  }
}

/** What would only show when davpool serves: no servers at all, and secrets that are not where they should be. */
async function problemsOf(config: ResolvedConfig): Promise<readonly ConfigIssue[]> {
  const { file, pools, sections, baseDirectory } = config;
  const none = file === undefined && pools.every(({ servers }) => servers.length === 0);
  const issues: ConfigIssue[] = none
    ? [
        {
          path: "",
          message:
            "there is no davpool.config.* here or in a folder above, and DAV_SERVER_URL is not set, so there is nothing to serve. Write a configuration, or set DAV_SERVER_URL.",
        },
      ]
    : [];
  for (const { name, servers, store, notifiers, policies } of pools) {
    const path = member("pools", name);
    issues.push(...(await unfound(servers, `${path}.servers`, baseDirectory)));
    for (const [key, uses] of Object.entries({ store: [store], notifiers, policies }))
      for (const { options } of uses) issues.push(...(await unfound(options, `${path}.${key}`, baseDirectory)));
  }
  return [...issues, ...(await unfound(sections, "", baseDirectory))];
}

/** Places of secrets, `{ env }` and `{ file }`, that hold none. Commands are not run. */
async function unfound(value: unknown, path: string, baseDirectory: string): Promise<readonly ConfigIssue[]> {
  if (typeof value !== "object" || value === null) return [];
  const entries = Object.entries(value);
  const [[key, place] = []] = entries;
  if (entries.length === 1 && typeof place === "string") {
    if (key === "env")
      return process.env[place] === undefined
        ? [{ path, message: `the environment variable ${place} is not set.` }]
        : [];
    if (key === "file") {
      const file = resolve(baseDirectory, place);
      const readable = await access(file, constants.R_OK).then(
        () => true,
        () => false,
      );
      return readable ? [] : [{ path, message: `the file ${file} cannot be read.` }];
    }
  }
  const below = entries.map(([name, item]) => unfound(item, path === "" ? name : member(path, name), baseDirectory));
  return (await Promise.all(below)).flat();
}

/** What works, and may not be meant. */
function warningsOf({ pools, security }: ResolvedConfig): readonly ConfigIssue[] {
  if (security.allowCleartext) return [];
  return pools.flatMap(({ name, servers }) =>
    servers.flatMap((server, index) => {
      const url = typeof server.url === "string" ? URL.parse(server.url) : null;
      const sent = CREDENTIALS.some((field) => server[field] !== undefined);
      if (!sent || url?.protocol !== "http:" || isLoopback(hostOf(url))) return [];
      const message =
        "credentials would cross the network in clear. Use https:, or set security.allowCleartext to say that this is meant.";
      return [{ path: `${member("pools", name)}.servers[${index}].url`, message }];
    }),
  );
}
