import { startRealServer, type Place, type RealServer, type RealServerOptions } from "./real-server.ts";

/**
 * Starts a real sabre/dav in PHP's own web server on a free loopback port, at `/dav/`, as Debian's packages `php-cli` and
 * `php-sabre-dav` install them.
 * @throws Error when PHP or sabre/dav is not installed, or it does not start; with its own messages.
 */
export function startSabre(options: Pick<RealServerOptions, "root"> = {}): Promise<RealServer> {
  return startRealServer(
    {
      program: "php",
      writable: ["locks"],
      configuration,
      parameters: ({ root, port }, file) => ["-S", `127.0.0.1:${port}`, "-t", root, file],
    },
    options,
  );
}

function configuration({ root, writable }: Place): string {
  return `<?php
error_reporting(E_ALL & ~E_DEPRECATED);
ini_set('display_errors', 'stderr');
require 'Sabre/autoload.php';
$server = new Sabre\\DAV\\Server(new Sabre\\DAV\\FS\\Directory('${root}'));
$server->setBaseUri('/dav/');
$server->addPlugin(new Sabre\\DAV\\Locks\\Plugin(new Sabre\\DAV\\Locks\\Backend\\File('${writable["locks"]}/locks')));
$server->exec();
`;
}
