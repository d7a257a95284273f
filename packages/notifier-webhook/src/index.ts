export { webhook, webhook as default } from "./webhook.ts";
export type { WebhookOptions } from "./webhook.ts";
export type { WebhookNotice } from "./webhook-notice.ts";
