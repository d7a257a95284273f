import { missingProgram } from "@davpool/testkit/real-servers";
import { expect, test } from "vitest";
import { runSessions } from "./sessions.ts";

/** What a busy machine decides: the long form of this run watches it. */
const OF_THE_MACHINE = /at most\b.* ms/;

test.skipIf(missingProgram("apache2"))(
  "no answer reaches another session, no request fails, and sessions leave nothing behind",
  async ({ signal }) => {
    // On a busy machine calls take seconds, and sessions wait for their turn: neither limit may end them.
    const options = { users: 20, seconds: 2, rate: 50, long: 1, sessions: 80, rounds: 1, idle: 30, limit: 15 };
    const { text, broken } = await runSessions(options, { signal, progress: () => {} });
    expect(
      broken.filter((promise) => !OF_THE_MACHINE.test(promise)),
      text,
    ).toEqual([]);
  },
);
