// Makes a fresh clone ready: installs the package manager's version and, with it, Node 24 and everything else.
// Runs on Node 20, with nothing installed, so it uses nothing but the platform. A command given to it is run afterwards,
// with what was installed: a shell that has looked up `node` once would go on with the old one.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { delimiter } from "node:path";
import { fileURLToPath } from "node:url";

const root = new URL("../", import.meta.url);
const read = (name) => readFileSync(new URL(name, root));
const { packageManager } = JSON.parse(read("package.json"));
const stamp = new URL("node_modules/.davpool-setup", root);
const wanted = createHash("sha256").update(read("pnpm-lock.yaml")).update(read("package.json")).digest("hex");

if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== wanted) {
  console.error("Installing dependencies (once; it takes a minute)…");
  const install = spawnSync("npx", ["-y", packageManager, "install", "--frozen-lockfile", "--reporter=append-only"], {
    cwd: root,
    stdio: ["ignore", 2, 2],
    shell: process.platform === "win32",
  });
  if (install.status !== 0) {
    console.error("The installation failed; its messages are above. npm and git must reach the package registry.");
    process.exit(1);
  }
  writeFileSync(stamp, wanted);
}

const [command, ...parameters] = process.argv.slice(2);
if (command !== undefined) {
  const bin = fileURLToPath(new URL("node_modules/.bin", root));
  const { status, signal } = spawnSync(command, parameters, {
    cwd: root,
    stdio: "inherit",
    env: { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH}`, TURBO_TELEMETRY_DISABLED: "1" },
    shell: process.platform === "win32",
  });
  process.exitCode = status ?? (signal === "SIGINT" ? 130 : 1);
}
