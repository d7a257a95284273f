import { Client } from "@modelcontextprotocol/client";
import { Client as OlderClient } from "@modelcontextprotocol/sdk/client/index.js";
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
} from "@modelcontextprotocol/sdk/types.js";

/** `1.x` is the older SDK; `2.x` the newer one, speaking the protocol of 2025 or the one of 2026. */
export const KINDS = ["1.x, 2025-11-25", "2.x, 2025-11-25", "2.x, 2026-07-28"] as const;
export type ClientKind = (typeof KINDS)[number];

type Fields = Readonly<Record<string, unknown>>;

export interface FeatureClientOptions {
  readonly capabilities?: object;
  /** What it answers when it is asked, beyond the usual. */
  readonly answers?: Readonly<Record<string, (params: Fields) => Fields | Promise<Fields>>>;
}

/** Milliseconds for an answer, which only end a run that hangs. */
const LIMIT = 240_000;

const CAPABILITIES = { sampling: {}, elicitation: { form: {}, url: {} }, roots: { listChanged: true } };

/** A client that can do everything, and writes down what it hears. */
export class FeatureClient implements AsyncDisposable {
  readonly client: Client;
  readonly kind: ClientKind;
  /** Notifications, in their order. */
  readonly heard: { readonly method: string; readonly params: Fields }[] = [];
  /** What it was asked. */
  readonly asked: { readonly method: string; readonly params: Fields }[] = [];
  readonly #looking = new Set<() => void>();

  private constructor(kind: ClientKind, { capabilities = CAPABILITIES, answers = {} }: FeatureClientOptions) {
    this.kind = kind;
    const info = { name: "feature-client", version: "1.0.0" };
    const older = kind === "1.x, 2025-11-25";
    this.client = (
      older
        ? new OlderClient(info, { capabilities })
        : new Client(info, {
            capabilities,
            versionNegotiation: { mode: kind === "2.x, 2026-07-28" ? "auto" : "legacy" },
          })
    ) as Client;
    this.client.fallbackNotificationHandler = (notification) => {
      this.heard.push({ method: notification.method, params: notification.params ?? {} });
      for (const look of this.#looking) look();
      return Promise.resolve();
    };
    const schemas = {
      "sampling/createMessage": CreateMessageRequestSchema,
      "elicitation/create": ElicitRequestSchema,
      "roots/list": ListRootsRequestSchema,
    };
    const usual: FeatureClientOptions["answers"] = {
      "sampling/createMessage": () => ({ role: "assistant", model: "m-1", content: { type: "text", text: "sampled" } }),
      "elicitation/create": () => ({ action: "accept", content: { name: "Ada", check: true } }),
      "roots/list": () => ({ roots: [{ uri: "file:///home/ada", name: "home" }] }),
    };
    for (const [method, schema] of Object.entries(schemas)) {
      const capability = method.split("/")[0] as string;
      if (!(capability in capabilities)) continue;
      const answer = (request: { readonly params?: unknown }) => {
        const params = (request.params ?? {}) as Fields;
        this.asked.push({ method, params });
        return (answers[method] ?? usual[method])?.(params);
      };
      // oxlint-disable-next-line typescript/no-explicit-any -- the two lines name a method in two ways
      (this.client as any).setRequestHandler(older ? schema : method, answer);
    }
  }

  static async connect(
    kind: ClientKind,
    transport: object,
    options: FeatureClientOptions = {},
  ): Promise<FeatureClient> {
    const client = new FeatureClient(kind, options);
    await client.client.connect(transport as Parameters<Client["connect"]>[0], { timeout: LIMIT });
    return client;
  }

  async call(name: string, parameters: Fields = {}, more: object = {}): Promise<Fields> {
    const call = { name, arguments: { ...parameters } };
    const options = { timeout: LIMIT, ...more };
    const result =
      this.kind === "1.x, 2025-11-25"
        ? (this.client as unknown as OlderClient).callTool(call, undefined, options)
        : this.client.callTool(call, options);
    return result;
  }

  /** Resolves when a notification of this method has come, whose parameters hold this. */
  hears(method: string, holds: (params: Fields) => boolean = () => true): Promise<Fields> {
    return new Promise((resolve) => {
      const look = () => {
        const found = this.heard.find((one) => one.method === method && holds(one.params));
        if (!found) return;
        this.#looking.delete(look);
        resolve(found.params);
      };
      this.#looking.add(look);
      look();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.close();
  }
}
