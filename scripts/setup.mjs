// Makes a fresh clone ready: installs the package manager's version and, with it, Node 24 and everything else.
// Runs on Node 20, with nothing installed, so it uses nothing but the platform.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";

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
