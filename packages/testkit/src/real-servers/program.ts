import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** Where Debian puts servers, which a user's PATH may leave out. */
const SYSTEM = ["/usr/sbin", "/usr/local/sbin", "/sbin"];

/** nginx can do little of WebDAV without it. */
export const NGINX_DAV_MODULE = "/usr/lib/nginx/modules/ngx_http_dav_ext_module.so";

/** Without it lighttpd serves files and nothing more. */
export const LIGHTTPD_DAV_MODULE = "/usr/lib/lighttpd/mod_webdav.so";

/** What Debian calls the packages of a program, and the files that it needs besides itself. */
const DEBIAN: Readonly<Record<string, { readonly packages: string; readonly files: readonly string[] }>> = {
  nginx: { packages: "nginx-light libnginx-mod-http-dav-ext", files: [NGINX_DAV_MODULE] },
  lighttpd: { packages: "lighttpd lighttpd-mod-webdav", files: [LIGHTTPD_DAV_MODULE] },
  php: { packages: "php-cli php-sabre-dav", files: ["/usr/share/php/Sabre/autoload.php"] },
};

/** The program's full path, or undefined when it, or what it cannot do without, is not installed. */
export function findProgram(name: string): string | undefined {
  const { files = [] } = DEBIAN[name] ?? {};
  if (!files.every((file) => isAccessible(file, constants.R_OK))) return undefined;
  const folders = [...(process.env.PATH ?? "").split(delimiter), ...SYSTEM];
  return folders.map((folder) => join(folder, name)).find((path) => isAccessible(path, constants.X_OK));
}

/** What to tell whoever needs a program that is missing. */
export function installHint(name: string): string {
  return `${name} is not installed. Install it with the system's package manager; Debian: apt-get install ${DEBIAN[name]?.packages ?? name}`;
}

/**
 * Whether tests that need this program must be skipped. On a CI machine nothing is skipped in silence.
 * @throws Error when the program is missing and the environment variable `CI` is set.
 */
export function missingProgram(name: string): boolean {
  if (findProgram(name) !== undefined) return false;
  if (process.env.CI) throw new Error(`CI runs every test. ${installHint(name)}`);
  return true;
}

function isAccessible(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}
