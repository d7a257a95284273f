export { startApache } from "./apache.ts";
export type { ApacheOptions } from "./apache.ts";
export { startLighttpd } from "./lighttpd.ts";
export { startNginx } from "./nginx.ts";
export type { NginxOptions } from "./nginx.ts";
export { missingProgram } from "./program.ts";
export { startRclone } from "./rclone.ts";
export { startSabre } from "./sabre.ts";
export type { RealServer, RealServerOptions } from "./real-server.ts";
