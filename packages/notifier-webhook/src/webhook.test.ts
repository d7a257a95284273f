import { createHmac } from "node:crypto";
import {
  ConfigError,
  ENVIRONMENT,
  Scope,
  SecretError,
  resolveConfig,
  type Log,
  type LogFields,
  type Notice,
  type NotifierOptions,
  type Use,
} from "@davpool/core";
import { beforeEach, describe, expect, expectTypeOf, test } from "vitest";
import plugin, { webhook, type WebhookOptions } from "./index.ts";
import { createObservedClock, type ObservedClock } from "./testing/observed-clock.test-support.ts";
import { startReceiver, type HookReceiver } from "./testing/receiver.test-support.ts";

const SECRET = `whsec_${Buffer.from("a key of twenty-four byte").toString("base64")}`;
/** Longer than every pause between attempts, and shorter than the time limit of an attempt. */
const PAUSE = 9_000;

let clock: ObservedClock;
let logged: { level: keyof Log; message: string; fields: LogFields | undefined }[];

beforeEach(() => {
  clock = createObservedClock();
  logged = [];
});

const warnings = () => logged.filter(({ level }) => level === "warn").map(({ message }) => message);

async function open(receiver: Pick<HookReceiver, "url">, written: Partial<WebhookOptions> = {}, random = 1) {
  const services = new Scope();
  services.provide(ENVIRONMENT, { HOOK_SECRET: SECRET });
  const record = (level: keyof Log) => (message: string, fields?: LogFields) => {
    logged.push({ level, message, fields });
    for (const look of looking) look();
  };
  const looking = new Set<() => void>();
  const notifier = webhook.create(
    {
      pool: "files",
      primary: true,
      clock,
      random: () => random,
      log: { debug: record("debug"), info: record("info"), warn: record("warn"), error: record("error") },
      services,
      baseDirectory: "/",
    },
    { url: receiver.url, secret: { env: "HOOK_SECRET" }, ...written },
  );
  await webhook.start?.(notifier, new AbortController().signal);
  return {
    notify: (notice: Notice) => notifier.notify(notice),
    /** Resolves when a line that holds `text` has been logged. */
    logged: (text: string) =>
      new Promise<void>((resolve) => {
        const look = () => {
          if (!logged.some(({ message }) => message.includes(text))) return;
          looking.delete(look);
          resolve();
        };
        looking.add(look);
        look();
      }),
    close: () => notifier[Symbol.asyncDispose](),
    async [Symbol.asyncDispose]() {
      const closed = notifier[Symbol.asyncDispose]();
      clock.advance(3_000);
      await closed;
    },
  };
}

function failover(more: Partial<Notice> = {}): Notice {
  const at = clock.wall().toISOString();
  return { kind: "failover", pool: "files", at, serverId: "eu", to: "us", reason: "connect ECONNREFUSED", ...more };
}

const recovered = (serverId: string): Notice => ({
  kind: "recovered",
  pool: "files",
  at: clock.wall().toISOString(),
  serverId,
});

describe("a notice", () => {
  test("is posted as JSON, with a signature that anybody with the secret can check", async () => {
    await using receiver = await startReceiver();
    await using notifier = await open(receiver);
    clock.advance(1_234_567);
    notifier.notify(failover());
    const [delivery] = await receiver.received(1);
    const { headers, text = "", body } = delivery ?? {};
    expect(body).toEqual(failover());
    expect(delivery?.path).toBe("/hooks/s3cret-path");
    expect(headers).toMatchObject({
      "content-type": "application/json",
      "user-agent": expect.stringMatching(/^davpool-webhook\/\d/) as string,
      "webhook-id": expect.stringMatching(/^msg_[\w-]{20,}$/) as string,
      "webhook-timestamp": String(Date.parse("2026-01-01T00:20:34Z") / 1_000),
    });
    const signed = `${String(headers?.["webhook-id"])}.${String(headers?.["webhook-timestamp"])}.${text}`;
    const expected = createHmac("sha256", "a key of twenty-four byte").update(signed).digest("base64");
    expect(headers?.["webhook-signature"]).toBe(`v1,${expected}`);
  });

  test("of a kind that is not wanted is not sent", async () => {
    await using receiver = await startReceiver();
    await using notifier = await open(receiver, { events: ["recovered", "all-down"] });
    notifier.notify(failover());
    notifier.notify(recovered("eu"));
    await receiver.received(1);
    expect(receiver.deliveries.map(({ body }) => body.kind)).toEqual(["recovered"]);
  });

  test("leaves no secret and no path of the address in the log", async () => {
    await using receiver = await startReceiver();
    await using notifier = await open(receiver);
    receiver.react(204, 400);
    notifier.notify(recovered("eu"));
    await notifier.logged("took a notice");
    notifier.notify(recovered("us"));
    await notifier.logged("did not take");
    const written = JSON.stringify(logged);
    for (const secret of [SECRET, "a key of", "s3cret-path"]) expect(written).not.toContain(secret);
    expect(written).toContain(new URL(receiver.url).origin);
  });
});

describe("a delivery that fails", () => {
  test("is repeated after growing pauses, under the same id and with a new time and signature", async () => {
    await using receiver = await startReceiver();
    await using notifier = await open(receiver);
    receiver.react(500, "reset", 503);
    const pauses: number[] = [];
    let wait = clock.nextWait(PAUSE);
    notifier.notify(recovered("eu"));
    for (let failures = 0; failures < 3; failures++) {
      pauses.push(await wait);
      wait = clock.nextWait(PAUSE);
      clock.advance(pauses.at(-1) ?? 0);
    }
    await receiver.received(4);
    await notifier.logged("took a notice");
    expect(pauses).toEqual([1_000, 2_000, 4_000]);
    const start = Date.parse("2026-01-01T00:00:00Z") / 1_000;
    const times = receiver.deliveries.map(({ headers }) => Number(headers["webhook-timestamp"]) - start);
    expect(times).toEqual([0, 1, 3, 7]);
    const different = (header: string) => new Set(receiver.deliveries.map(({ headers }) => headers[header])).size;
    expect([different("webhook-id"), different("webhook-signature")]).toEqual([1, 4]);
    expect(clock.pending).toBe(0);
  });

  test("is repeated after half the pause at the least", async () => {
    await using receiver = await startReceiver();
    await using notifier = await open(receiver, {}, 0);
    receiver.react(500);
    const wait = clock.nextWait(PAUSE);
    notifier.notify(recovered("eu"));
    expect(await wait).toBe(500);
  });

  test.each([
    ["3", 3_000],
    ["Thu, 01 Jan 2026 00:00:05 GMT", 5_000],
    ["86400", 60_000],
    ["soon", 1_000],
  ])("with Retry-After: %s is repeated after %d ms", async (retryAfter, expected) => {
    await using receiver = await startReceiver();
    await using notifier = await open(receiver, { timeout: "1d" });
    receiver.react({ status: 429, retryAfter });
    const wait = clock.nextWait(60_000);
    notifier.notify(recovered("eu"));
    expect(await wait).toBe(expected);
    clock.advance(expected);
    await receiver.received(2);
  });

  test("is given up after the last attempt, and the next notice says that one is missing", async () => {
    await using receiver = await startReceiver();
    await using notifier = await open(receiver, { retryAttempts: 2 });
    receiver.react(500, 502, 504);
    let wait = clock.nextWait(PAUSE);
    notifier.notify(recovered("eu"));
    for (let failures = 0; failures < 2; failures++) {
      const pause = await wait;
      wait = clock.nextWait(PAUSE);
      clock.advance(pause);
    }
    await notifier.logged("did not take");
    expect(logged.at(-1)).toMatchObject({
      level: "warn",
      message: "The webhook did not take a notice: it answered 504",
      fields: { kind: "recovered", attempts: 3 },
    });
    notifier.notify(recovered("us"));
    const deliveries = await receiver.received(4);
    expect(deliveries[3]?.body).toEqual({ ...recovered("us"), at: expect.any(String) as string, missed: 1 });
  });

  test.each([400, 401, 404, 410, 302])("with %d is not repeated", async (status) => {
    await using receiver = await startReceiver();
    await using notifier = await open(receiver);
    receiver.react(status);
    notifier.notify(recovered("eu"));
    await notifier.logged("did not take");
    expect([receiver.deliveries.length, clock.pending]).toEqual([1, 0]);
  });

  test("for want of an answer is repeated when its time is up", async () => {
    await using receiver = await startReceiver();
    await using notifier = await open(receiver, { timeout: "20s" });
    receiver.react("silence");
    notifier.notify(recovered("eu"));
    await receiver.received(1);
    const wait = clock.nextWait(PAUSE);
    clock.advance(20_000);
    clock.advance(await wait);
    expect(await receiver.received(2)).toHaveLength(2);
  });

  test("for want of a receiver is repeated, and says why when it is given up", async () => {
    const receiver = await startReceiver();
    await receiver[Symbol.asyncDispose]();
    await using notifier = await open(receiver, { retryAttempts: 1 });
    const wait = clock.nextWait(PAUSE);
    notifier.notify(recovered("eu"));
    clock.advance(await wait);
    await notifier.logged("did not take");
    expect(warnings()).toEqual([expect.stringContaining("ECONNREFUSED")]);
  });
});

describe("a slow receiver", () => {
  test("holds up nobody: further notices wait, in order, and no more than so many deliveries run", async () => {
    await using receiver = await startReceiver();
    receiver.otherwise = "silence";
    await using notifier = await open(receiver, { concurrency: 2, retryAttempts: 0 });
    for (const id of ["a", "b", "c", "d", "e"]) expect(notifier.notify(recovered(id))).toBeUndefined();
    await receiver.received(2);
    receiver.otherwise = 204;
    clock.advance(10_000);
    const deliveries = await receiver.received(5);
    expect(deliveries.slice(0, 2).map(({ body }) => body.serverId)).toEqual(["a", "b"]);
    expect(new Set(deliveries.slice(2).map(({ body }) => body.serverId))).toEqual(new Set(["c", "d", "e"]));
  });

  test("loses the oldest notices that wait beyond the queue, is told how many, and one line is logged", async () => {
    await using receiver = await startReceiver();
    receiver.react("silence");
    await using notifier = await open(receiver, { concurrency: 1, queueSize: 3, retryAttempts: 0 });
    for (let number = 0; number <= 10; number++) notifier.notify(recovered(`s${number}`));
    await receiver.received(1);
    expect(warnings()).toEqual([expect.stringContaining("oldest that wait are dropped")]);
    clock.advance(10_000);
    const deliveries = await receiver.received(4);
    expect(deliveries.map(({ body }) => [body.serverId, body.missed])).toEqual([
      ["s0", undefined],
      // Seven were dropped, and the first was given up.
      ["s8", 8],
      ["s9", undefined],
      ["s10", undefined],
    ]);
    expect(warnings()).toHaveLength(2);
  });

  test("is complained about again when it is too slow a second time", async () => {
    await using receiver = await startReceiver();
    await using notifier = await open(receiver, { concurrency: 1, queueSize: 1, retryAttempts: 0 });
    const overflows = () => warnings().filter((message) => message.includes("dropped")).length;
    for (let burst = 1; burst <= 2; burst++) {
      const before = receiver.deliveries.length;
      receiver.react("silence");
      for (let number = 0; number < 4; number++) notifier.notify(recovered(`s${number}`));
      await receiver.received(before + 1);
      expect(overflows()).toBe(burst);
      logged = logged.filter(({ level }) => level === "warn");
      clock.advance(10_000);
      await receiver.received(before + 2);
      await notifier.logged("took a notice");
      // Its place is free by the next turn of the event loop.
      await new Promise((resolve) => setImmediate(resolve));
    }
  });
});

describe("repeats of a failover", () => {
  test("are counted, and told as one when the interval ends", async () => {
    await using receiver = await startReceiver();
    await using notifier = await open(receiver, { timeout: "1d" });
    for (let number = 0; number < 50; number++) notifier.notify(failover({ reason: `reason ${number}` }));
    notifier.notify(failover({ to: "ap" }));
    await receiver.received(2);
    clock.advance(59_999);
    notifier.notify(failover({ reason: "the last one" }));
    expect(receiver.deliveries).toHaveLength(2);
    const last = failover({ reason: "the last one" });
    clock.advance(1);
    const deliveries = await receiver.received(3);
    const told = deliveries.map(({ body }) => [body.to, body.reason, body.count]);
    expect(told.slice(0, 2)).toContainEqual(["us", "reason 0", undefined]);
    expect(told.slice(0, 2)).toContainEqual(["ap", "connect ECONNREFUSED", undefined]);
    expect(deliveries[2]?.body).toEqual({ ...last, count: 50 });
  });

  test("go on being counted while they go on, and one that comes later is told at once", async () => {
    await using receiver = await startReceiver();
    await using notifier = await open(receiver, { repeatInterval: "10m", timeout: "1d" });
    notifier.notify(failover());
    notifier.notify(failover());
    clock.advance(600_000);
    notifier.notify(failover());
    notifier.notify(failover());
    await receiver.received(2);
    clock.advance(600_000);
    expect((await receiver.received(3)).map(({ body }) => body.count)).toEqual([undefined, undefined, 2]);
    await notifier.logged("took a notice");
    clock.advance(600_000);
    notifier.notify(failover());
    expect((await receiver.received(4))[3]?.body).toEqual(failover());
  });

  test("are each told where the interval is 0", async () => {
    await using receiver = await startReceiver();
    await using notifier = await open(receiver, { repeatInterval: 0 });
    for (let number = 0; number < 3; number++) notifier.notify(failover());
    expect((await receiver.received(3)).map(({ body }) => body.count)).toEqual([undefined, undefined, undefined]);
  });
});

describe("closing", () => {
  test("sends what waits, what was counted, and what pauses", async () => {
    await using receiver = await startReceiver();
    receiver.react(500);
    const notifier = await open(receiver, { concurrency: 1 });
    const wait = clock.nextWait(PAUSE);
    notifier.notify(failover());
    await wait;
    notifier.notify(recovered("eu"));
    notifier.notify(failover());
    notifier.notify(failover());
    await notifier.close();
    expect(receiver.deliveries.map(({ body }) => [body.kind, body.count])).toEqual([
      ["failover", undefined],
      ["failover", undefined],
      ["recovered", undefined],
      ["failover", 2],
    ]);
    expect(clock.pending).toBe(0);
    notifier.notify(recovered("us"));
    expect(receiver.deliveries).toHaveLength(4);
  });

  test("takes no more than a few seconds, and says what is lost", async () => {
    await using receiver = await startReceiver();
    receiver.otherwise = "silence";
    const notifier = await open(receiver, { concurrency: 1 });
    for (const id of ["a", "b", "c"]) notifier.notify(recovered(id));
    await receiver.received(1);
    const closed = notifier.close();
    clock.advance(3_000);
    await closed;
    expect(warnings()).toEqual([
      "2 notices still waited for the webhook and are lost.",
      "The webhook did not take a notice: the pool closed",
    ]);
    expect([receiver.deliveries.length, clock.pending]).toEqual([1, 0]);
  });
});

describe("in a configuration", () => {
  const resolve = (notifier: unknown) => {
    const raw = { store: "none", pools: { files: { transport: "none", notifiers: [notifier] } } };
    return resolveConfig(raw, { baseDirectory: "/", plugins: [webhook] }).then(
      () => [],
      (error: ConfigError) => error.issues.filter(({ path }) => path.includes("notifiers")),
    );
  };

  test("it is named webhook, takes these options, and may be listed as a plugin", async () => {
    expect(plugin).toBe(webhook);
    expectTypeOf<NotifierOptions["webhook"]>().toEqualTypeOf<WebhookOptions>();
    const uses: Use<[], "notifier">[] = [
      { type: "webhook", url: "https://a.example/", secret: "s" },
      { type: "webhook", url: "https://a.example/", secret: { env: "S" }, events: ["failover", "all-down"] },
      // @ts-expect-error it cannot do without an address and a secret
      "webhook",
      // @ts-expect-error there is no such event
      { type: "webhook", url: "https://a.example/", secret: "s", events: ["boredom"] },
    ];
    expect(await resolve(uses[1])).toEqual([]);
  });

  test.each([
    [{ secret: "s" }, "url"],
    [{ url: "https://a.example/" }, "secret"],
    [{ url: "a.example", secret: "s" }, "url"],
    [{ url: "https://a.example/", secret: "s", events: ["boredom"] }, "events[0]"],
    [{ url: "https://a.example/", secret: "s", queueSize: 0 }, "queueSize"],
  ])("%o is refused at %s", async (written, place) => {
    const issues = await resolve({ type: "webhook", ...written });
    expect(issues.map(({ path }) => path)).toEqual([`pools.files.notifiers[0].${place}`]);
  });

  test.each(["https://[/", "https://alice:hunter2@a.example/"])(
    "the address %s is refused, and not repeated",
    async (url) => {
      const error = await open({ url }).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      expect(error).toBeInstanceOf(ConfigError);
      expect(String(error)).not.toContain("hunter2");
    },
  );

  test("a secret that is not there, or is none, ends the start", async () => {
    const receiver = { url: "https://a.example/" };
    await expect(open(receiver, { secret: { env: "NOWHERE" } })).rejects.toThrow(SecretError);
    await expect(open(receiver, { secret: "whsec_???" })).rejects.toThrow(/webhook of pool "files".*not base64/);
  });
});
