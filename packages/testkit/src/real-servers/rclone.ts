import { startRealServer, type RealServer, type RealServerOptions } from "./real-server.ts";

/**
 * Starts a real `rclone serve webdav` on a free loopback port, at `/dav/`.
 * @throws Error when rclone is not installed or does not start; with its own messages.
 */
export function startRclone(options: Pick<RealServerOptions, "root"> = {}): Promise<RealServer> {
  return startRealServer(
    {
      program: "rclone",
      writable: [],
      configuration: () => "",
      parameters: ({ root, port }, file) =>
        ["serve", "webdav", root, "--addr", `127.0.0.1:${port}`, "--baseurl", "/dav", "--config", file].concat([
          // Its own idea of the folder would be up to five minutes old.
          "--dir-cache-time",
          "0s",
        ]),
    },
    options,
  );
}
