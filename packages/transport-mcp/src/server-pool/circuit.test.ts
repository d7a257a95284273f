import { createManualClock } from "@davpool/core";
import { expect, test } from "vitest";
import { next, openBench } from "./testing/bench.test-support.ts";

test("a circuit opens after so many failures, is half open while checks go well, and closes after enough of them", async () => {
  await using bench = await openBench({
    healthCheckInterval: 20,
    reconnectDelay: 20,
    offlineThreshold: 2,
    recoveryThreshold: 10,
  });
  const { pool, one } = bench;
  const circuit = () => pool.getServers()[0]?.circuit;
  expect(circuit()).toEqual({ state: "closed", failures: 0 });
  const offline = next(pool, "server-offline");
  await one.stop();
  await offline;
  const opened = circuit();
  expect(opened).toMatchObject({ state: "open", since: expect.stringMatching(/^\d{4}-\d\d-\d\dT/) as string });
  expect(opened?.failures).toBeGreaterThanOrEqual(2);
  expect(pool.getServers()[1]?.circuit.state).toBe("closed");
  const recovered = next(pool, "server-recovered");
  await one.start();
  const checks = one.log.of("ping").length + one.log.of("server/discover").length;
  await one.log.until(() => one.log.of("ping").length + one.log.of("server/discover").length > checks + 4);
  expect(circuit()).toMatchObject({ state: "half-open", since: opened?.since, failures: 0 });
  await recovered;
  expect(circuit()).toEqual({ state: "closed", failures: 0 });
});

test("a circuit of a server that is not checked opens by failing requests, which go to others meanwhile", async () => {
  const clock = createManualClock();
  await using bench = await openBench({ clock, offlineThreshold: 2 });
  const { pool, one, two } = bench;
  await pool.listTools();
  one.inject({ kind: "status", status: 403 });
  for (let call = 0; call < 4; call++) await pool.callTool("read");
  expect(pool.getServers().map((server) => server.circuit)).toEqual([
    { state: "open", failures: 2, since: "2026-01-01T00:00:00.000Z" },
    { state: "closed", failures: 0 },
  ]);
  const before = one.calls.length;
  for (let call = 0; call < 4; call++) await pool.callTool("read");
  expect([one.calls.length - before, two.calls.length]).toEqual([0, 8]);
});

test("requests that fail go on in the fallback order, whatever the strategy would pick", async () => {
  await using bench = await openBench({ fallbackOrder: ["gone", "s4", "s2"], offlineThreshold: 100 }, [{}, {}, {}, {}]);
  const { pool, one, servers } = bench;
  await pool.listTools();
  one.inject({ kind: "cut", when: "before-head" });
  for (let call = 0; call < 8; call++) await pool.callTool("read");
  // Two of eight were the first one's turn.
  expect(servers.map(({ calls }) => calls.length)).toEqual([2, 2, 2, 4]);
  servers[3]?.inject({ kind: "cut", when: "before-head" });
  await pool.callTool("read");
  expect(servers.map(({ calls }) => calls.length)).toEqual([3, 3, 2, 5]);
});
