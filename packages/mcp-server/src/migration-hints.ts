import { ConfigError, type ConfigIssue } from "@davpool/core";

const SERVERS =
  'pools: { tools: { transport: "mcp", servers: [{ serverId: "one", command: ["program", "argument"] }] } }';

/** What configurations of single-server gateways have, by the end of its path, and how it is written here. */
const HINTS: readonly (readonly [RegExp, string])[] = [
  [/(?:^|\.)upstreams?$/, `MCP servers are members of a pool: ${SERVERS}.`],
  [
    /(?:^|\.)proxy$/,
    `What stood in proxy stands at the top: servers as ${SERVERS}; whether it is served over stdio or HTTP is told to the command, davpool serve or davpool serve --http.`,
  ],
];
const TRANSPORT =
  'A server with a command is reached over stdio: write transport: "mcp" for the pool, and give its server a command. davpool itself serves stdio unless it is started with --http.';

/** The same error, saying how to write what comes from the configuration of another gateway. */
export function withMigrationHints(error: ConfigError): ConfigError {
  let hinted = false;
  const issues = error.issues.map((issue): ConfigIssue => {
    const hint = hintFor(issue);
    if (hint === undefined) return issue;
    hinted = true;
    const { suggestion: _, ...rest } = issue;
    return { ...rest, message: `${issue.message} ${hint}` };
  });
  return hinted ? new ConfigError(error.file, issues, error.cause) : error;
}

function hintFor({ path, message }: ConfigIssue): string | undefined {
  if (/(?:^|\.)transport(?:\.type)?$/.test(path)) return message.includes('"stdio"') ? TRANSPORT : undefined;
  return message.startsWith("unknown key") ? HINTS.find(([end]) => end.test(path))?.[1] : undefined;
}
