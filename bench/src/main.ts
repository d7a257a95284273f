import { parseArgs } from "node:util";
import type { Benchmark } from "./benchmark.ts";
import { chaos } from "./chaos.ts";
import { failover } from "./failover.ts";
import { gateway } from "./gateway.ts";
import { http } from "./http.ts";
import { overhead } from "./overhead.ts";
import { sessions } from "./sessions.ts";
import { strategies } from "./strategies.ts";

const BENCHMARKS: Readonly<Record<string, Benchmark>> = {
  overhead,
  strategies,
  failover,
  chaos,
  http,
  sessions,
  gateway,
};

/** A promise was broken, or the benchmark could not be run. */
const FAILED = 1;
const WRONG_USAGE = 2;
const INTERRUPTED = 130;

process.exitCode = await main(process.argv.slice(2));

async function main([name = "--help", ...parameters]: readonly string[]): Promise<number> {
  const benchmark = Object.hasOwn(BENCHMARKS, name) ? BENCHMARKS[name] : undefined;
  const wantsHelp = [name, ...parameters].some((parameter) => parameter === "--help" || parameter === "-h");
  if (!benchmark || wantsHelp) {
    (wantsHelp ? process.stdout : process.stderr).write(usage());
    return wantsHelp ? 0 : WRONG_USAGE;
  }
  let values: Record<string, number>;
  try {
    values = numbers(benchmark, parameters);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${usage()}`);
    return WRONG_USAGE;
  }
  return run(benchmark, values);
}

async function run(benchmark: Benchmark, values: Record<string, number>): Promise<number> {
  const end = new AbortController();
  let interrupted = false;
  const interrupt = () => {
    interrupted = true;
    end.abort(new Error("interrupted"));
  };
  // The benchmark ends by itself then, and with it the servers that it has started. A second signal changes nothing.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, interrupt);
  process.on("uncaughtException", (error) => {
    process.stderr.write(`${error.stack ?? error.message}\n`);
    end.abort(error);
  });
  try {
    const progress = (text: string) => process.stderr.write(`${text}\n`);
    const { text, broken } = await benchmark.run(values, { signal: end.signal, progress });
    process.stdout.write(`${text}\n`);
    process.stderr.write(broken.length === 0 ? "Every promise was kept.\n" : `Broken promises:\n`);
    for (const promise of broken) process.stderr.write(`- ${promise}\n`);
    return broken.length === 0 && !end.signal.aborted ? 0 : FAILED;
  } catch (error) {
    if (interrupted) return INTERRUPTED;
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    return FAILED;
  }
}

function numbers(benchmark: Benchmark, parameters: readonly string[]): Record<string, number> {
  const { values } = parseArgs({
    args: [...parameters],
    options: Object.fromEntries(
      Object.entries(benchmark.options).map(([name, option]) => [
        name,
        { type: "string" as const, default: String(option.default) },
      ]),
    ),
  });
  return Object.fromEntries(
    Object.entries(values).map(([name, text]) => {
      const value = Number(text);
      if (text === "" || !Number.isFinite(value) || value < 0)
        throw new Error(`--${name} takes a number, not ${JSON.stringify(text)}.`);
      return [name, value];
    }),
  );
}

function usage(): string {
  const lines = Object.entries(BENCHMARKS).flatMap(([name, { summary, options }]) => [
    `  ${name}: ${summary}`,
    ...Object.entries(options).map(
      ([option, { meaning, default: value }]) => `      ${`--${option} N`.padEnd(18)} ${meaning} (${value})`,
    ),
  ]);
  return `Usage: npm run bench -- <name> [options]

Prints a Markdown table, and progress on stderr. Ends with 1 when a promise was broken, and lists which.

${lines.join("\n")}
`;
}
