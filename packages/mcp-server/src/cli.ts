import { describeError, isDavpoolError, milliseconds, version, type Duration } from "@davpool/core";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { configurationSchema, readConfiguration } from "./configuration.ts";
import { PRINCIPAL, isPrincipalName } from "./identity/section.ts";
import { createToken } from "./identity/token-hash.ts";
import { LOG_LEVELS, createLog, type LogLevel } from "./log.ts";
import type { HttpOptions } from "./serve.ts";
import type { Terminal } from "./terminal.ts";

export type { Screen, Terminal } from "./terminal.ts";

/** What the process exits with. */
export const EXIT = {
  ok: 0,
  /** The configuration, the environment or the stored profiles are wrong. */
  configuration: 1,
  /** The command line itself is wrong. */
  usage: 2,
  /** Anything that nobody expected. */
  unexpected: 3,
  /** `davpool status`: a pool has no usable server. */
  unusable: 4,
} as const;

const EXIT_HELP = `
Exit codes:
  0  all is well
  1  the configuration, the environment or the stored profiles are wrong
  2  the command line is wrong
  3  something unexpected happened
  4  status: a pool has no usable server`;

/** Milliseconds below which pictures follow each other faster than anybody looks. */
const SHORTEST_INTERVAL = 100;

/** Runs the command line and returns the exit code. */
export async function runCli(parameters: readonly string[], terminal: Terminal, stop: AbortSignal): Promise<number> {
  const program = new Command("davpool")
    .description("Several WebDAV servers behave as one that does not go down.")
    .version(version, "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .configureOutput({ writeOut: (text) => terminal.out(text), writeErr: (text) => terminal.error(text) })
    .showSuggestionAfterError()
    .showHelpAfterError("(davpool --help shows what there is)")
    .exitOverride()
    .addHelpText("after", EXIT_HELP);
  const configOption = () =>
    new Option("-c, --config <file>", "configuration file (default: davpool.config.* here or in a folder above)");
  let code: number = EXIT.ok;

  program
    .command("serve")
    .description("serve the pools as an MCP server, over standard input and output or over HTTP")
    .addOption(configOption())
    .option("--http", "serve over Streamable HTTP, for several clients at once")
    .addOption(new Option("--host <address>", "address to listen on (default: http.host, else 127.0.0.1)"))
    .addOption(new Option("--port <number>", "port to listen on (default: http.port, else 8080)").argParser(port))
    .option("--allow-anonymous", "listen to the network although nobody is asked who they are")
    .option("--watch", "read the configuration anew when its file changes")
    .addOption(new Option("--log-level <level>", "least level that is logged").choices(LOG_LEVELS).default("info"))
    .action(async ({ config, logLevel, http, watch, ...options }: ServeParameters) => {
      if (!http && Object.keys(options).length > 0)
        program.error("error: --host, --port and --allow-anonymous go with --http.");
      const source = { file: config };
      const { serve } = await import("./serve.ts");
      await serve(await readConfiguration(source), createLog(logLevel), stop, {
        source,
        watch: watch === true,
        ...(http && { http: options }),
      });
    });

  program
    .command("token")
    .description("make a token for one person or program, and the hash for identity.tokens")
    .argument("[principal]", "who it is for", principal, "alice")
    .action((name: string) => {
      const { token, hash } = createToken();
      terminal.out(
        `Token, for its owner alone; it is shown only now:\n  ${token}\n\nFor identity.tokens in the configuration:\n  ${JSON.stringify({ principal: name, hash })}\n`,
      );
    });

  program
    .command("check")
    .description("check the configuration and say everything that is wrong with it")
    .addOption(configOption())
    .option("--json", "print the result as JSON")
    .action(async ({ config, json }: { config?: string; json?: true }) => {
      const { check } = await import("./check.ts");
      code = (await check(config, json ?? false, terminal)) ? EXIT.ok : EXIT.configuration;
    });

  program
    .command("schema")
    .description("print the JSON Schema of the configuration, for the plugins in use")
    .addOption(configOption())
    .action(async ({ config }: { config?: string }) => {
      terminal.out(`${JSON.stringify(await configurationSchema({ file: config }), null, 2)}\n`);
    });

  program
    .command("store")
    .description("look after the file that keeps servers added at run time")
    .command("rekey")
    .description("encrypt its secrets anew, with the first of the keys in DAVPOOL_SECRET_KEY: <new key>,<present key>")
    .addOption(configOption())
    .action(async ({ config }: { config?: string }) => {
      const { rekeyStores } = await import("./rekey-stores.ts");
      for (const line of await rekeyStores(await readConfiguration({ file: config }))) terminal.out(`${line}\n`);
    });

  program
    .command("status")
    .description("check every server now and show a table of what was found; changes nothing")
    .addOption(configOption())
    .option("--watch", "show it again and again, until Ctrl-C")
    .option("--json", "print JSON; with --watch one document a line")
    .addOption(
      new Option("--interval <duration>", "time between two pictures and two checks, with --watch")
        .argParser(interval)
        .default(2_000, "2s"),
    )
    .action(async ({ config, ...options }: { config?: string; watch?: true; json?: true; interval: number }) => {
      const { status } = await import("./status/status.ts");
      const usable = await status(await readConfiguration({ file: config }), options, terminal, stop).catch(
        (error: unknown) => {
          // Stopped before there was anything to show.
          if (stop.aborted) return false;
          throw error;
        },
      );
      code = usable ? EXIT.ok : EXIT.unusable;
    });

  try {
    await program.parseAsync(parameters, { from: "user" });
    return code;
  } catch (error) {
    // It was told to stop before it had begun.
    if (stop.aborted && error === stop.reason) return EXIT.ok;
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    if (!isDavpoolError(error)) {
      terminal.error(`davpool failed unexpectedly: ${error instanceof Error ? error.stack : describeError(error)}\n`);
      return EXIT.unexpected;
    }
    terminal.error(`${error.message}\n`);
    return EXIT.configuration;
  }
}

interface ServeParameters extends HttpOptions {
  readonly config?: string;
  readonly logLevel: LogLevel;
  readonly http?: true;
  readonly watch?: true;
}

function port(text: string): number {
  const number = /^\d{1,5}$/.test(text) ? Number(text) : 65_536;
  if (number > 65_535) throw new InvalidArgumentError("It must be a number from 0 to 65535.");
  return number;
}

function principal(text: string): string {
  if (isPrincipalName(text)) return text;
  throw new InvalidArgumentError(`It must be ${PRINCIPAL}.`);
}

function interval(text: string): number {
  let ms: number;
  try {
    ms = milliseconds(text as Duration);
  } catch {
    throw new InvalidArgumentError('It must be a duration such as "500ms", "2s" or "1m".');
  }
  if (ms < SHORTEST_INTERVAL) throw new InvalidArgumentError(`It must be at least ${SHORTEST_INTERVAL}ms.`);
  return ms;
}
