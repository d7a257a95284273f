import type { Pool, ProfileInput } from "@davpool/core";
import { lockTokens } from "@davpool/transport-webdav";
import { Type } from "typebox";
import { serverIdInput, serverShape, serverView } from "./shapes.ts";
import { defineTool, type Tool } from "./tool.ts";

/** Fields that a tool may set: literal values only, so that nobody can make davpool read a file or run a command. */
const fields = {
  username: Type.String({ maxLength: 1_024, description: "With password: Basic authentication." }),
  password: Type.String({ maxLength: 4_096, description: "Stored encrypted; never shown again." }),
  token: Type.String({ maxLength: 16_384, description: "Bearer token, instead of username and password." }),
  priority: Type.Integer({ minimum: 1, description: "Tier; 1 is the highest." }),
  group: Type.String({ minLength: 1, maxLength: 128, description: "Name that addresses several servers together." }),
  maxConnections: Type.Integer({ minimum: 1, maximum: 10_000, description: "Requests at one time." }),
  timeout: Type.Integer({ minimum: 1, description: "Milliseconds one attempt may take." }),
  retryAttempts: Type.Integer({ minimum: 0, maximum: 100, description: "Further attempts of a call." }),
  healthCheckInterval: Type.Number({ minimum: 0, description: "Seconds between health checks; 0 for none." }),
  enabled: Type.Boolean({ description: "A disabled server takes no requests." }),
};
const optional = Object.fromEntries(Object.entries(fields).map(([name, schema]) => [name, Type.Optional(schema)])) as {
  [K in keyof typeof fields]: ReturnType<typeof Type.Optional<(typeof fields)[K]>>;
};
const url = Type.String({
  minLength: 1,
  maxLength: 2_048,
  description: "http: or https: address of a WebDAV collection.",
});

const success = Type.Literal(true);

/** `dav_add_server`, `dav_update_server`, `dav_remove_server`, `dav_set_active_server`. */
export function manageServerTools(pool: Pool, prefix: string): readonly Tool[] {
  return [
    defineTool({
      manages: true,
      name: `${prefix}dav_add_server`,
      pool: pool.name,
      title: "Add a WebDAV server",
      description:
        "Adds a server to the pool and keeps it for later runs. Without a priority it joins the lowest tier in use. Only public addresses are accepted unless the operator allows others.",
      input: Type.Object(
        { serverId: serverIdInput("New id, unique in the pool."), url, ...optional },
        { additionalProperties: false },
      ),
      output: Type.Object({
        success,
        serverId: Type.String(),
        message: Type.String(),
        poolSize: Type.Integer({ description: "Servers in the pool now." }),
      }),
      annotations: { readOnlyHint: false, destructiveHint: false, idempotentHint: false, openWorldHint: true },
      async run(input, { caller }) {
        const { serverId } = await pool.add(input as ProfileInput, { caller });
        return { value: { success: true, serverId, message: "Server profile added", poolSize: pool.list().length } };
      },
    }),
    defineTool({
      manages: true,
      name: `${prefix}dav_update_server`,
      pool: pool.name,
      title: "Change a WebDAV server",
      description:
        "Changes a server that was added by a tool, or enables and disables any server. Fields that are not given stay as they are, except that a url of another origin drops the stored credentials. Requests in flight are not disturbed.",
      input: Type.Object(
        { serverId: serverIdInput("The server to change."), url: Type.Optional(url), ...optional },
        { additionalProperties: false },
      ),
      output: Type.Object({ success, serverId: Type.String(), message: Type.String(), server: serverShape }),
      annotations: { readOnlyHint: false, destructiveHint: true, idempotentHint: true, openWorldHint: true },
      async run({ serverId, ...changes }, { caller }) {
        const status = await pool.update(serverId, changes, { caller });
        const { droppedSecrets: dropped, override } = status;
        const names = Object.keys(changes);
        const message = [
          names.length === 0 ? "Nothing to change" : `Changed ${names.join(", ")}`,
          dropped.length > 0 &&
            `The server has another origin now, so its ${dropped.join(" and ")} were dropped; give them again if it needs them`,
          override &&
            "The configuration says otherwise; this stays in force, also after a restart, until it is changed back",
        ]
          .filter(Boolean)
          .join(". ");
        return { value: { success: true, serverId, message, server: serverView(status, true) } };
      },
    }),
    defineTool({
      manages: true,
      name: `${prefix}dav_remove_server`,
      pool: pool.name,
      title: "Remove a WebDAV server",
      description:
        "Takes a server that was added by a tool out of the pool and forgets it. Files on it stay as they are. Requests in flight end first.",
      input: Type.Object({ serverId: serverIdInput("The server to remove.") }, { additionalProperties: false }),
      output: Type.Object({
        success,
        message: Type.String(),
        warning: Type.Optional(Type.String({ description: "Present when the active server was removed." })),
        activeServerId: Type.Union([Type.String(), Type.Null()], { description: "The server preferred from now on." }),
        lostLocks: Type.Optional(
          Type.Array(Type.String(), { description: "Tokens of locks that were taken there through the pool." }),
        ),
      }),
      annotations: { readOnlyHint: false, destructiveHint: true, idempotentHint: false, openWorldHint: false },
      async run({ serverId }, { caller }) {
        const { wasActive, preferredServerId, lost } = await pool.remove(serverId, { caller });
        const lostLocks = lockTokens(lost);
        const next = preferredServerId ?? "none, as there is no server left";
        return {
          value: {
            success: true,
            message: `Server ${serverId} removed from pool`,
            ...(wasActive && {
              warning: `${serverId} was the active server. The pool balances by priority again; preferred now: ${next}.`,
            }),
            activeServerId: preferredServerId ?? null,
            ...(lostLocks.length > 0 && { lostLocks: [...lostLocks] }),
          },
        };
      },
    }),
    defineTool({
      manages: true,
      name: `${prefix}dav_set_active_server`,
      pool: pool.name,
      title: "Choose the active WebDAV server",
      description:
        "Prefers one server for every request that names none, before all priorities, until it is cleared with null or removed. A failed active server is failed over like any other.",
      input: Type.Object(
        {
          serverId: Type.Union([Type.String({ minLength: 1 }), Type.Null()], {
            expects: "a server id, or null to balance again",
            description: "The server to prefer; null to balance again.",
          }),
        },
        { additionalProperties: false },
      ),
      output: Type.Object({
        success,
        previousServerId: Type.Union([Type.String(), Type.Null()]),
        activeServerId: Type.Union([Type.String(), Type.Null()]),
      }),
      annotations: { readOnlyHint: false, destructiveHint: false, idempotentHint: true, openWorldHint: false },
      async run({ serverId }, { caller }) {
        const change = await pool.activate(serverId, { caller });
        return {
          value: {
            success: true,
            previousServerId: change.previousServerId ?? null,
            activeServerId: change.activeServerId ?? null,
          },
        };
      },
    }),
  ];
}
