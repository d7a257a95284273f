import { definePlugin, type ProfileStore, type StoredHealth, type StoredState } from "@davpool/core";

const STATE: StoredState = { activeServerId: undefined, servers: [] };
const HEALTH: StoredHealth = {
  servers: {},
  counters: { total: 0, successful: 0, failed: 0, failoverCount: 0, responseTimeSum: 0 },
};

/** Keeps nothing: the servers are the program's, which names them anew each time it runs. */
export const noStore = definePlugin({
  kind: "store",
  name: "none",
  create: (): ProfileStore => ({
    load: () => Promise.resolve(STATE),
    update: (change) => Promise.resolve(change(STATE)),
    loadHealth: () => Promise.resolve(HEALTH),
    updateHealth: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }),
});
