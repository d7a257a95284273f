import { createRequire } from "node:module";
import {
  DurationSchema,
  SECURITY,
  SecretSchema,
  definePlugin,
  milliseconds,
  type Secret,
  type ServerProfile,
} from "@davpool/core";
import { Type, type Static } from "typebox";
import { problemsOf } from "./profile.ts";
import { webDavTransport } from "./transport.ts";

const { version } = createRequire(import.meta.url)("../package.json") as { version: string };

const options = Type.Object({
  idleTimeout: Type.Optional(DurationSchema({ default: "60s", description: "Time an idle socket is kept open." })),
  connectTimeout: Type.Optional(
    DurationSchema({ default: "10s", description: "Time a connection may take to stand." }),
  ),
  preconnect: Type.Optional(
    Type.Integer({ minimum: 1, default: 1, description: "Sockets opened as soon as a server is used or checked." }),
  ),
  healthCheck: Type.Optional(
    Type.Enum(["OPTIONS", "PROPFIND"], { default: "OPTIONS", description: "The request that checks a server." }),
  ),
});

const profile = Type.Object({
  url: Type.String({ minLength: 1, description: "The collection below which everything happens." }),
  username: Type.Optional(Type.String({ description: "With password: Basic authentication." })),
  password: Type.Optional(SecretSchema({ description: "Text, or where to find it." })),
  token: Type.Optional(SecretSchema({ description: "Bearer token, instead of username and password." })),
});

declare module "@davpool/core" {
  interface TransportOptions {
    webdav: Static<typeof options>;
  }
  interface TransportProfiles {
    webdav: {
      readonly serverId: string;
      readonly url: string;
      readonly username?: string;
      readonly password?: Secret;
      readonly token?: Secret;
    } & Partial<Omit<ServerProfile, "serverId">>;
  }
}

/** The `webdav` transport. */
export const webdav = definePlugin({
  kind: "transport",
  name: "webdav",
  options,
  profile,
  checkProfile: problemsOf,
  create: (context, { idleTimeout = "60s", connectTimeout = "10s", preconnect = 1, healthCheck = "OPTIONS" }) =>
    webDavTransport(
      {
        idleTimeout: milliseconds(idleTimeout),
        connectTimeout: milliseconds(connectTimeout),
        preconnect,
        healthCheck,
        userAgent: `davpool/${version}`,
      },
      context.services.get(SECURITY),
      context.clock,
      context.log,
    ),
});
