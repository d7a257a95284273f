import { DurationSchema, milliseconds } from "@davpool/core";
import { Type, type Static, type TProperties } from "typebox";
import { identitySection, type IdentitySection } from "../identity/section.ts";
import type { ByteLimits } from "./byte-budget.ts";
import { sessionsSection, type SessionsSection } from "../sessions/section.ts";

const httpSection = Type.Object(
  {
    host: Type.Optional(
      Type.String({ minLength: 1, default: "127.0.0.1", description: "Address to listen on: this machine alone." }),
    ),
    port: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 65_535, default: 8_080, description: "Port; 0 takes a free one." }),
    ),
    publicUrl: Type.Optional(
      Type.String({
        pattern: "^https?://\\S+$",
        expects: 'the address that clients use, such as "https://files.example.com/mcp"',
        description: "The endpoint as clients write it, where a proxy stands in front. Tokens are issued for it.",
      }),
    ),
    allowedHosts: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), {
        description:
          "Host names that requests may be addressed to, without ports. Default: this machine's, and that of publicUrl; any where identity is required and neither is given, unless OAuth tokens are issued for this server's own address.",
      }),
    ),
    allowedOrigins: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), {
        description:
          "Origins of web pages that may ask, such as https://inspector.example.com. Default: pages of this machine while only it is listened to, else none.",
      }),
    ),
    maxRequestSize: Type.Optional(
      Type.Integer({
        minimum: 1_024,
        default: 67_108_864,
        description: "Bytes of one request: a file of about 48 MiB.",
      }),
    ),
    requestMemory: Type.Optional(
      Type.Object(
        {
          total: Type.Optional(
            Type.Integer({ minimum: 1_024, default: 268_435_456, description: "Bytes of all requests." }),
          ),
          perPrincipal: Type.Optional(
            Type.Integer({ minimum: 1_024, default: 134_217_728, description: "Bytes of one principal's requests." }),
          ),
        },
        {
          additionalProperties: false,
          description:
            "Bytes of requests that have arrived and are not answered yet. Beyond it requests are answered 429, or 413 where one alone is too large. davpool itself needs about four times as much memory.",
        },
      ),
    ),
    trustProxy: Type.Optional(
      Type.Boolean({
        default: false,
        description: "The last X-Forwarded-For entry is the client's address. Only behind a proxy that sets it.",
      }),
    ),
    drain: Type.Optional(
      DurationSchema({
        default: "10s",
        description: "Time that requests in flight get when the server is told to stop.",
      }),
    ),
  },
  { additionalProperties: false, description: "Serving over Streamable HTTP, with `davpool serve --http`." },
);

export type HttpSection = Static<typeof httpSection>;

declare module "@davpool/core" {
  interface ConfigSections {
    readonly http?: HttpSection;
    readonly sessions?: SessionsSection;
    readonly identity?: IdentitySection;
  }
}

/** Top-level keys of the configuration that belong to serving over HTTP. */
export const httpSections: TProperties = {
  http: Type.Optional(httpSection),
  sessions: Type.Optional(sessionsSection),
  identity: Type.Optional(identitySection),
};

export type HttpSettings = Required<
  Omit<HttpSection, "publicUrl" | "allowedHosts" | "allowedOrigins" | "drain" | "requestMemory">
> &
  Pick<HttpSection, "publicUrl" | "allowedHosts" | "allowedOrigins"> & {
    /** In milliseconds. */
    readonly drain: number;
    readonly requestMemory: ByteLimits;
  };

export function httpSettings({ drain = "10s", requestMemory, ...section }: HttpSection = {}): HttpSettings {
  return {
    host: "127.0.0.1",
    port: 8_080,
    maxRequestSize: 67_108_864,
    trustProxy: false,
    ...section,
    drain: milliseconds(drain),
    requestMemory: { total: 268_435_456, perPrincipal: 134_217_728, ...requestMemory },
  };
}
