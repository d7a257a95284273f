import type { ClientKind, FeatureClient } from "./feature-client.test-support.ts";

type Fields = Readonly<Record<string, unknown>>;

export interface Feature {
  readonly name: string;
  /**
   * Uses it, and tells what came of it in a form that can be compared.
   * @param prefix in front of names.
   */
  run(client: FeatureClient, prefix: string): Promise<unknown>;
  /** Protocols that do not have it, and why. */
  readonly notIn?: Partial<Record<ClientKind, string>>;
}

const ADDRESS_PREFIX = "everything+";

/** Without what is the gateway's own or changes with the time. */
function plain(value: unknown, prefix: string): unknown {
  const text = JSON.stringify(value, (key, part: unknown) =>
    key === "_meta" || key === "execution" ? undefined : part,
  );
  return JSON.parse(
    text
      .replaceAll(`"${prefix}`, '"')
      .replaceAll(ADDRESS_PREFIX, "")
      .replaceAll(/\d{1,2}:\d{2}:\d{2} [AP]M/g, "<time>")
      .replaceAll(/(?<=for session )[\w-]+/g, "<session>")
      .replaceAll(
        /"(?:blob|data)":"[A-Za-z\d+/=]{8,}"/g,
        (data) => `"bytes":${data.length > 400 ? '"many"' : '"some"'}`,
      ),
  ) as unknown;
}

const tool = (name: string, parameters: Fields = {}): Feature => ({
  name: `\`${name}\``,
  run: async (client, prefix) => plain(await client.call(prefix + name, parameters), prefix),
});

/** Without those of the gateway itself, and of other servers behind it. */
const foreign = <T extends { readonly uri?: unknown; readonly uriTemplate?: unknown }>(
  entries: readonly T[],
  prefix: string,
) => entries.filter(({ uri, uriTemplate }) => prefix === "" || String(uri ?? uriTemplate).startsWith(ADDRESS_PREFIX));

const DYNAMIC = "demo://resource/dynamic/text/1";

export const FEATURES: readonly Feature[] = [
  {
    name: "`tools/list`",
    run: async (client, prefix) => {
      const { tools } = await client.client.listTools();
      return plain(
        tools
          .filter(({ name }) => name.startsWith(prefix) && !/async$|dav_/.test(name))
          .toSorted((a, b) => a.name.localeCompare(b.name)),
        prefix,
      );
    },
  },
  tool("echo", { message: "hello" }),
  tool("get-sum", { a: 2, b: 40 }),
  tool("get-structured-content", { location: "New York" }),
  tool("get-annotated-message", { messageType: "error", includeImage: true }),
  tool("get-tiny-image"),
  tool("get-resource-links", { count: 3 }),
  tool("get-resource-reference", { resourceType: "Text", resourceId: 1 }),
  {
    name: "a resource of the session (`gzip-file-as-resource`)",
    run: async (client, prefix) => {
      const made = await client.call(`${prefix}gzip-file-as-resource`, {
        name: "a.gz",
        data: "data:text/plain,hello",
        outputType: "resourceLink",
      });
      const [link] = made["content"] as [{ uri: string }];
      const read = await client.client.readResource({ uri: link.uri });
      return plain([made, read.contents.length, read.contents[0]?.mimeType], prefix);
    },
    notIn: { "2.x, 2026-07-28": "as the session is shared by all who have none, it is not looked for" },
  },
  {
    name: "wrong arguments",
    run: async (client, prefix) => plain(await client.call(`${prefix}get-sum`, { a: "no" }), prefix),
  },
  {
    name: "progress",
    run: async (client, prefix) => {
      const progress: unknown[] = [];
      const onprogress = (one: unknown) => progress.push(one);
      const result = await client.call(
        `${prefix}trigger-long-running-operation`,
        { duration: 0.2, steps: 4 },
        { onprogress },
      );
      // What comes together with the answer is lost by some clients.
      return plain([progress.slice(0, 3), result], prefix);
    },
  },
  {
    name: "sampling",
    run: async (client, prefix) => {
      const result = await client.call(`${prefix}trigger-sampling-request`, { prompt: "why", maxTokens: 10 });
      return plain([client.asked.filter(({ method }) => method === "sampling/createMessage"), result], prefix);
    },
  },
  {
    name: "elicitation",
    run: async (client, prefix) => {
      const result = await client.call(`${prefix}trigger-elicitation-request`);
      return plain([client.asked.filter(({ method }) => method === "elicitation/create"), result], prefix);
    },
  },
  {
    name: "roots",
    run: async (client, prefix) => {
      // The server asks for roots over the stream for news, and forgets to ask again if that did not stand yet. Of log
      // messages it sends one after the other: when one has come, the stream stands.
      await client.call(`${prefix}toggle-simulated-logging`);
      await client.hears("notifications/message", ({ logger }) => logger !== "everything-server");
      await client.call(`${prefix}toggle-simulated-logging`);
      const first = await client.call(`${prefix}get-roots-list`);
      await client.hears("notifications/message", ({ data }) => String(data).startsWith("Roots updated"));
      await client.client.sendRootsListChanged();
      await client.hears("notifications/message", ({ data }) => String(data).startsWith("Roots updated"));
      return [(first["content"] as unknown[]).length, plain(await client.call(`${prefix}get-roots-list`), prefix)];
    },
    notIn: {
      "2.x, 2026-07-28":
        "the protocol has no roots outside of a request; this server asks for them when a session begins",
    },
  },
  {
    name: "logging",
    run: async (client, prefix) => {
      await client.client.setLoggingLevel("debug");
      const result = await client.call(`${prefix}toggle-simulated-logging`);
      const message = await client.hears("notifications/message", ({ level }) => level !== undefined);
      await client.call(`${prefix}toggle-simulated-logging`);
      return [plain(result, prefix), typeof message["data"]];
    },
    notIn: { "2.x, 2026-07-28": "the protocol has log messages of a request only; this server's belong to none" },
  },
  {
    name: "subscriptions",
    run: async (client, prefix) => {
      const { resources } = await client.client.listResources();
      const shown = prefix === "" ? DYNAMIC : ADDRESS_PREFIX + DYNAMIC;
      await client.client.subscribeResource({ uri: shown });
      const result = await client.call(`${prefix}toggle-subscriber-updates`);
      const { uri } = await client.hears("notifications/resources/updated");
      await client.client.unsubscribeResource({ uri: shown });
      await client.call(`${prefix}toggle-subscriber-updates`);
      return plain([uri, result, foreign(resources, prefix).length > 0], prefix);
    },
    notIn: { "2.x, 2026-07-28": "tried by itself: the protocol subscribes with a stream" },
  },
  {
    name: "`prompts/list` and `prompts/get`",
    run: async (client, prefix) => {
      const { prompts } = await client.client.listPrompts();
      const simple = await client.client.getPrompt({ name: `${prefix}simple-prompt` });
      const withArguments = await client.client.getPrompt({
        name: `${prefix}args-prompt`,
        arguments: { city: "Oslo" },
      });
      const resource = await client.client.getPrompt({
        name: `${prefix}resource-prompt`,
        arguments: { resourceType: "Text", resourceId: "1" },
      });
      const own = prompts.filter(({ name }) => name.startsWith(prefix));
      return plain([own, simple.messages, withArguments.messages, resource.messages], prefix);
    },
  },
  {
    name: "completion",
    run: async (client, prefix) => {
      const { completion: first } = await client.client.complete({
        ref: { type: "ref/prompt", name: `${prefix}completable-prompt` },
        argument: { name: "department", value: "S" },
      });
      const { completion: second } = await client.client.complete({
        ref: { type: "ref/prompt", name: `${prefix}completable-prompt` },
        argument: { name: "name", value: "" },
        context: { arguments: { department: "Sales" } },
      });
      const { completion: third } = await client.client.complete({
        ref: {
          type: "ref/resource",
          uri: `${prefix === "" ? "" : ADDRESS_PREFIX}demo://resource/dynamic/text/{resourceId}`,
        },
        argument: { name: "resourceId", value: "7" },
      });
      return [first.values, second.values, third.values];
    },
  },
  {
    name: "`resources/list`, templates and `resources/read`",
    run: async (client, prefix) => {
      const { resources } = await client.client.listResources();
      const { resourceTemplates } = await client.client.listResourceTemplates();
      const [one = { uri: "" }] = foreign(resources, prefix);
      const listed = await client.client.readResource({ uri: one.uri });
      const dynamic = await client.client.readResource({ uri: prefix === "" ? DYNAMIC : ADDRESS_PREFIX + DYNAMIC });
      return plain(
        [foreign(resources, prefix), foreign(resourceTemplates, prefix), listed.contents, dynamic.contents],
        prefix,
      );
    },
  },
  {
    name: "an unknown resource",
    run: async (client, prefix) =>
      client.client.readResource({ uri: `${prefix === "" ? "" : ADDRESS_PREFIX}demo://nothing` }).then(
        () => "read",
        (error: unknown) => (error as { code: number }).code,
      ),
  },
  // The last: what a server that all share asks after a call was given up might be about that one.
  {
    name: "cancellation",
    run: async (client, prefix) => {
      const controller = new AbortController();
      const call = client.call(
        `${prefix}trigger-long-running-operation`,
        { duration: 30, steps: 300 },
        { signal: controller.signal, onprogress: () => controller.abort(new Error("enough")) },
      );
      const outcome = await call.then(
        () => "answered",
        () => "cancelled",
      );
      return [outcome, plain(await client.call(`${prefix}echo`, { message: "still here" }), prefix)];
    },
  },
];
