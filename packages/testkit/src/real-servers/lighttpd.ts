import { LIGHTTPD_DAV_MODULE } from "./program.ts";
import { startRealServer, type Place, type RealServer, type RealServerOptions } from "./real-server.ts";
import { SERVER_USER, isRoot } from "./server-user.ts";

/**
 * Starts a real lighttpd with mod_webdav on a free loopback port, at `/dav/`, as Debian's packages `lighttpd` and
 * `lighttpd-mod-webdav` install it.
 * @throws Error when lighttpd or the module is not installed, or it does not start; with its own messages.
 */
export function startLighttpd(options: Pick<RealServerOptions, "root"> = {}): Promise<RealServer> {
  return startRealServer(
    {
      program: "lighttpd",
      writable: ["locks", "uploads"],
      configuration,
      parameters: (_place, file) => ["-D", "-f", file, "-m", LIGHTTPD_DAV_MODULE.replace(/\/[^/]*$/, "")],
    },
    options,
  );
}

function configuration({ folder, root, port, writable }: Place): string {
  return `server.modules = ("mod_alias", "mod_webdav")
server.document-root = "${root}"
server.bind = "127.0.0.1"
server.port = ${port}
server.errorlog = "${folder}/error.log"
server.upload-dirs = ("${writable["uploads"]}")
${isRoot() ? `server.username = "${SERVER_USER}"\nserver.groupname = "${SERVER_USER}"` : ""}
alias.url = ("/dav/" => "${root}/")
$HTTP["url"] =~ "^/dav/" {
  webdav.activate = "enable"
  webdav.is-readonly = "disable"
  webdav.sqlite-db-name = "${writable["locks"]}/locks.db"
}
`;
}
