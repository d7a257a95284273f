#!/usr/bin/env node
import { runCli, type Screen } from "./cli.ts";

const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  // The first signal closes in good order, the second ends at once.
  process.once(signal, () => {
    stop.abort();
    process.once(signal, () => process.exit(signal === "SIGINT" ? 130 : 143));
  });
}

// Whoever read it has gone.
process.stdout.on("error", () => stop.abort());

const screen: Screen = {
  get columns() {
    return process.stdout.columns;
  },
  // https://no-color.org: any value but the empty one.
  colours: !process.env.NO_COLOR,
};

const code = await runCli(
  process.argv.slice(2),
  {
    out: (text) => process.stdout.write(text),
    error: (text) => process.stderr.write(text),
    ...(process.stdout.isTTY && { screen }),
  },
  stop.signal,
);
// Standard input may still be open; nothing is left that should keep the process.
process.exit(code);
