import { ENVIRONMENT, TRANSPORT, definePlugin } from "@davpool/core";
import { resolve } from "node:path";
import { Type } from "typebox";
import { FileStore } from "./file-store.ts";

declare module "@davpool/core" {
  interface StoreOptions {
    file: {
      /** Default: the environment variable `DAV_SERVERS_FILE`, else `./servers.json`. */
      readonly path?: string;
    };
  }
}

/** The store `file`: an encrypted, locked, atomically written JSON file that several processes may share. */
export const fileStore = definePlugin({
  kind: "store",
  name: "file",
  options: Type.Object({
    path: Type.Optional(
      Type.String({
        minLength: 1,
        description:
          "The file, counted from the configuration's folder. Default: the environment variable DAV_SERVERS_FILE, else ./servers.json.",
      }),
    ),
  }),
  create({ pool, primary, clock, random, log, services, baseDirectory }, { path }) {
    const environment = services.get(ENVIRONMENT);
    return new FileStore({
      file: resolve(baseDirectory, path ?? (environment.DAV_SERVERS_FILE || "servers.json")),
      pool,
      primary,
      secretKey: environment.DAVPOOL_SECRET_KEY,
      secretFields: services.has(TRANSPORT) ? services.get(TRANSPORT).secretFields : ["password", "token"],
      clock,
      random,
      log,
    });
  },
});
