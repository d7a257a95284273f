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
    const transport = services.has(TRANSPORT) ? services.get(TRANSPORT) : undefined;
    return new FileStore({
      file: storePath(baseDirectory, environment, path),
      pool,
      primary,
      secretKey: environment.DAVPOOL_SECRET_KEY,
      secretFields: transport?.secretFields ?? ["password", "token"],
      secretsOrigin: transport?.secretsOrigin?.bind(transport),
      clock,
      random,
      log,
    });
  },
});

/** Where the store's file is. @param path the option. */
export function storePath(
  baseDirectory: string,
  environment: Readonly<Record<string, string | undefined>>,
  path: string | undefined,
): string {
  return resolve(baseDirectory, path ?? (environment.DAV_SERVERS_FILE || "servers.json"));
}
