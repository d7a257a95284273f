import { parseArgs } from "node:util";
import { overhead } from "./overhead.ts";

const BENCHMARKS = { overhead } as const;

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { pairs: { type: "string", default: "7" }, seconds: { type: "string", default: "3" } },
});
const [name] = positionals;
const benchmark = BENCHMARKS[name as keyof typeof BENCHMARKS] as typeof overhead | undefined;
if (!benchmark) {
  process.stderr.write(
    `Usage: npm run bench -- <name> [--pairs N] [--seconds S]\nBenchmarks: ${Object.keys(BENCHMARKS).join(", ")}\n`,
  );
  process.exitCode = 2;
} else await benchmark({ pairs: Number(values.pairs), seconds: Number(values.seconds) });
