import { createRequire } from "node:module";
import {
  ConfigError,
  DurationSchema,
  ENVIRONMENT,
  SecretSchema,
  definePlugin,
  milliseconds,
  resolveSecret,
  type NoticeKind,
  type PluginContext,
} from "@davpool/core";
import { Type, type Static } from "typebox";
import { signingKey } from "./signature.ts";
import { WebhookNotifier } from "./webhook-notifier.ts";

const { version } = createRequire(import.meta.url)("../package.json") as { version: string };

const KINDS = [
  "failover",
  "recovered",
  "all-down",
  "server-degraded",
  "server-unhealthy",
  "server-ejected",
] as const satisfies readonly NoticeKind[];

const options = Type.Object({
  url: Type.String({
    pattern: "^https?://",
    expects: "a web address: https://…",
    description: "Where notices are posted to.",
  }),
  secret: SecretSchema({
    description: "What notices are signed with: text, or where to find it. After whsec_ it is base64.",
  }),
  events: Type.Optional(
    Type.Array(Type.Enum([...KINDS]), { minItems: 1, description: "What is told. Default: everything." }),
  ),
  repeatInterval: Type.Optional(
    DurationSchema({
      default: "60s",
      description: "Repeats of a failover within this time become one notice with a count; 0 for none.",
    }),
  ),
  timeout: Type.Optional(DurationSchema({ default: "10s", description: "Time one attempt to deliver may take." })),
  retryAttempts: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 20,
      default: 5,
      description: "Further attempts after a network error, 5xx or 429.",
    }),
  ),
  queueSize: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 100_000,
      default: 100,
      description: "Notices that may wait; beyond it the oldest are dropped.",
    }),
  ),
  concurrency: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 100, default: 2, description: "Deliveries at one time." }),
  ),
});

export type WebhookOptions = Static<typeof options>;

declare module "@davpool/core" {
  interface NotifierOptions {
    webhook: WebhookOptions;
  }
}

/** The notifier `webhook`: posts notices as JSON, signed as the Standard Webhooks specification says. */
export const webhook = definePlugin({
  kind: "notifier",
  name: "webhook",
  options,
  create(context, { url, secret, events = KINDS, ...rest }) {
    const { pool, clock, random, log, services, baseDirectory } = context;
    const { repeatInterval = "60s", timeout = "10s", retryAttempts = 5, queueSize = 100, concurrency = 2 } = rest;
    return new WebhookNotifier({
      url: address(url, context),
      key: async (signal) => {
        const environment = services.get(ENVIRONMENT);
        const found = await resolveSecret(secret, { environment, baseDirectory }, signal);
        return signingKey(found, `the webhook of pool "${pool}"`);
      },
      events: new Set<NoticeKind>(events),
      repeatInterval: milliseconds(repeatInterval),
      timeout: milliseconds(timeout),
      retries: retryAttempts,
      queueSize,
      concurrency,
      userAgent: `davpool-webhook/${version}`,
      clock,
      random,
      log,
    });
  },
  start: (notifier, signal) => notifier.start(signal),
});

function address(text: string, { pool }: PluginContext): URL {
  const url = URL.parse(text);
  const problem =
    url === null
      ? "the webhook's url is no web address."
      : url.username !== "" || url.password !== ""
        ? "the webhook's url has a name or password in it; receivers know davpool by the signature."
        : undefined;
  if (url === null || problem !== undefined)
    throw new ConfigError(undefined, [{ path: `pools.${pool}.notifiers`, message: String(problem) }]);
  return url;
}
