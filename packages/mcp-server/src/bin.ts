#!/usr/bin/env node
import { runCli } from "./cli.ts";

const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  // The first signal closes in good order, the second ends at once.
  process.once(signal, () => {
    stop.abort();
    process.once(signal, () => process.exit(signal === "SIGINT" ? 130 : 143));
  });
}

const code = await runCli(
  process.argv.slice(2),
  { out: (text) => process.stdout.write(text), error: (text) => process.stderr.write(text) },
  stop.signal,
);
// Standard input may still be open; nothing is left that should keep the process.
process.exit(code);
