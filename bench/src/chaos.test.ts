import { missingProgram } from "@davpool/testkit/real-servers";
import { expect, test } from "vitest";
import { runChaos } from "./chaos.ts";

/** What a busy machine decides, and not the pool: the long form of this run watches it. */
const OF_THE_MACHINE = /ms after its deadline|the heap grows/;

test.skipIf(missingProgram("apache2"))(
  "Apache servers that die, hang and come back lose no acknowledged write and leave no call without an answer",
  async ({ signal }) => {
    const options = { minutes: 1 / 6, servers: 3, workers: 8, warmup: 1, seed: 1 };
    const { text, broken } = await runChaos(options, { signal, progress: () => {} });
    expect(
      broken.filter((promise) => !OF_THE_MACHINE.test(promise)),
      text,
    ).toEqual([]);
  },
  120_000,
);
