import { systemClock } from "@davpool/core";
import { FileStore } from "../file-store.ts";

/*
 * A program that adds and removes servers, step by step from the given one, and says so after each step:
 * `node endless-changes.test-support.js <file> <secret key> <step>`.
 */

const [file = "", secretKey, first] = process.argv.slice(2);
const silent = { debug() {}, info() {}, warn() {}, error() {} };
const store = new FileStore({
  file,
  pool: "files",
  primary: true,
  secretKey,
  secretFields: [],
  clock: systemClock,
  random: Math.random,
  log: silent,
});
for (let step = Number(first); ; step++) {
  const cycle = Math.floor(step / 2);
  await store.update(({ servers }) => ({
    activeServerId: `s${cycle}`,
    servers:
      step % 2 === 0
        ? [...servers, { serverId: `s${cycle}`, profile: { priority: cycle }, secrets: { password: `p${cycle}` } }]
        : servers.filter(({ serverId }) => serverId !== `s${cycle - 2}`),
  }));
  process.stdout.write(`${step}\n`);
}
