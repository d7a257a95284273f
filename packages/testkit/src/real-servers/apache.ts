import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chown, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";

import { findProgram } from "./program.ts";
import { ServerProcess, freePort, type RealServer } from "./server-process.ts";

export interface ApacheOptions {
  /** Folder to serve; several servers may share one. Default: a new one, deleted at the end. */
  readonly root?: string;
  /** Basic authentication. Default: none. */
  readonly auth?: { readonly username: string; readonly password: string };
}

const MODULES = [
  "mpm_event",
  "authn_core",
  "authn_file",
  "authz_core",
  "authz_user",
  "auth_basic",
  "alias",
  "mime",
  "dav",
  "dav_fs",
  "dav_lock",
];
const SERVER_USER = "www-data";

/**
 * Starts a real Apache with mod_dav on a free loopback port, at `/dav/`, as Debian's package `apache2` installs it.
 * @throws Error when Apache is not installed or does not start; with its own messages.
 */
export async function startApache(options: ApacheOptions = {}): Promise<RealServer> {
  const program = findProgram("apache2");
  if (program === undefined) throw new Error("apache2 is not installed.");
  const folder = await mkdtemp(join(tmpdir(), "davpool-apache-"));
  const root = options.root ?? join(folder, "root");
  const port = await freePort();
  await mkdir(root, { recursive: true });
  await mkdir(join(folder, "locks"));
  if (options.auth) await writeFile(join(folder, "users"), userLine(options.auth));
  await writeFile(join(folder, "httpd.conf"), configuration(folder, root, port, options.auth !== undefined));
  await handOver(folder, join(folder, "locks"), root);

  const running = new ServerProcess([program, "-d", folder, "-f", join(folder, "httpd.conf"), "-DFOREGROUND"], port);
  await running.start();
  return {
    url: `http://127.0.0.1:${port}/dav/`,
    port,
    root,
    kill: (signal = "SIGKILL") => running.kill(signal),
    start: () => running.start(),
    async [Symbol.asyncDispose]() {
      await running.kill("SIGKILL");
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function configuration(folder: string, root: string, port: number, auth: boolean): string {
  const modules = MODULES.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`);
  return `${modules.join("\n")}
ServerRoot ${folder}
ServerName 127.0.0.1
Listen 127.0.0.1:${port}
PidFile ${folder}/httpd.pid
ErrorLog ${folder}/error.log
TypesConfig /etc/mime.types
${isRoot() ? `User ${SERVER_USER}\nGroup ${SERVER_USER}` : ""}
DavLockDB ${folder}/locks/DavLock
Alias /dav ${root}
<Directory ${root}>
  Require all granted
</Directory>
<Location /dav>
  Dav On
  ${auth ? `AuthType Basic\n  AuthName davpool\n  AuthUserFile ${folder}/users\n  Require valid-user` : "Require all granted"}
</Location>
`;
}

/** One line of a password file, in the format that needs no program to make: SHA-1, for tests only. */
function userLine({ username, password }: { readonly username: string; readonly password: string }): string {
  return `${username}:{SHA}${createHash("sha1").update(password).digest("base64")}\n`;
}

/** As root Apache drops to its own user, who must be able to write. */
async function handOver(...folders: readonly string[]): Promise<void> {
  if (!isRoot()) return;
  const id = (flag: string) => Number(execFileSync("id", [flag, SERVER_USER], { encoding: "utf8" }));
  const [uid, gid] = [id("-u"), id("-g")];
  for (const folder of folders) await chown(folder, uid, gid);
}

function isRoot(): boolean {
  return userInfo().uid === 0;
}
