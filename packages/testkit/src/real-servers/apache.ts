import { startRealServer, type Place, type RealServer, type RealServerOptions } from "./real-server.ts";
import { SERVER_USER, isRoot } from "./server-user.ts";

export type ApacheOptions = RealServerOptions;

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

/**
 * Starts a real Apache with mod_dav on a free loopback port, at `/dav/`, as Debian's package `apache2` installs it.
 * @throws Error when Apache is not installed or does not start; with its own messages.
 */
export function startApache(options: ApacheOptions = {}): Promise<RealServer> {
  return startRealServer(
    {
      program: "apache2",
      writable: ["locks"],
      configuration,
      parameters: ({ folder }, file) => ["-d", folder, "-f", file, "-DFOREGROUND"],
    },
    options,
  );
}

function configuration({ folder, root, port, users, writable }: Place): string {
  const modules = MODULES.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`);
  return `${modules.join("\n")}
ServerRoot ${folder}
ServerName 127.0.0.1
Listen 127.0.0.1:${port}
PidFile ${folder}/httpd.pid
ErrorLog ${folder}/error.log
TypesConfig /etc/mime.types
${isRoot() ? `User ${SERVER_USER}\nGroup ${SERVER_USER}` : ""}
DavLockDB ${writable["locks"]}/DavLock
Alias /dav ${root}
<Directory ${root}>
  Require all granted
</Directory>
<Location /dav>
  Dav On
  ${users === undefined ? "Require all granted" : `AuthType Basic\n  AuthName davpool\n  AuthUserFile ${users}\n  Require valid-user`}
</Location>
`;
}
