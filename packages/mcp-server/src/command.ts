import { runCli, type Screen } from "./cli.ts";

/** Milliseconds that readers get for what is left once the command has been told to stop. */
const PATIENCE = 1_000;

/** Runs this process as the command, and ends it. */
export async function main(): Promise<never> {
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
  process.stderr.on("error", () => {});

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
  await Promise.race([Promise.all([taken(process.stdout), taken(process.stderr)]), impatience(stop.signal)]);
  // Standard input may still be open; nothing is left that should keep the process.
  process.exit(code);
}

/** Resolves when all that was written has left this process, or nobody is there to read it. */
function taken(output: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    if (output.writableLength === 0) resolve();
    else output.write("", () => resolve());
  });
}

/** Resolves a moment after the command has been told to stop. */
function impatience(stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const wait = () => setTimeout(resolve, PATIENCE);
    if (stop.aborted) wait();
    else stop.addEventListener("abort", wait);
  });
}
