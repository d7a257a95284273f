import { startRealServer, type Place, type RealServer, type RealServerOptions } from "./real-server.ts";
import { NGINX_DAV_MODULE } from "./program.ts";
import { SERVER_USER, isRoot } from "./server-user.ts";

export type NginxOptions = RealServerOptions;

/** Where it keeps what it has not dealt with yet; by default in a folder of the system. */
const TEMPORARY = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];

/**
 * Starts a real nginx with its WebDAV modules on a free loopback port, at `/dav/`, as Debian's packages `nginx-light`
 * and `libnginx-mod-http-dav-ext` install them. It has no PROPPATCH, and does not look at `If-Match` in a PUT.
 * @throws Error when nginx or the module is not installed, or it does not start; with its own messages.
 */
export function startNginx(options: NginxOptions = {}): Promise<RealServer> {
  return startRealServer(
    {
      program: "nginx",
      writable: TEMPORARY,
      configuration,
      parameters: ({ folder }, file) => ["-p", folder, "-c", file, "-e", `${folder}/error.log`],
    },
    options,
  );
}

function configuration({ folder, root, port, users, writable }: Place): string {
  return `load_module ${NGINX_DAV_MODULE};
daemon off;
${isRoot() ? `user ${SERVER_USER};` : ""}
worker_processes 2;
pid ${folder}/nginx.pid;
error_log ${folder}/error.log;
events {}
http {
  include /etc/nginx/mime.types;
  access_log off;
  ${TEMPORARY.map((name) => `${name}_temp_path ${writable[name]};`).join("\n  ")}
  client_max_body_size 0;
  dav_ext_lock_zone zone=locks:10m;
  server {
    listen 127.0.0.1:${port};
    location /dav/ {
      alias ${root}/;
      dav_methods PUT DELETE MKCOL COPY MOVE;
      dav_ext_methods PROPFIND OPTIONS LOCK UNLOCK;
      dav_ext_lock zone=locks;
      ${users === undefined ? "" : `auth_basic davpool;\n      auth_basic_user_file ${users};`}
    }
  }
}
`;
}
