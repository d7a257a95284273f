import { definePlugin, type Policy } from "@davpool/core";
import type { McpWire } from "@davpool/transport-mcp";

/** Rules about tools, servers and principals, as an operator might write them. */
export default definePlugin({
  kind: "policy",
  name: "rules",
  create: (): Policy<McpWire> => ({
    before({ pool, request, caller }) {
      const { name, arguments: written } = (request.params ?? {}) as { name?: string; arguments?: object };
      if (request.method !== "tools/call") return undefined;
      if (name === "add") return { deny: `${caller.principal ?? "nobody"} may not use ${name} in ${pool}.` };
      if (name !== "read") return undefined;
      return { request: { ...request, params: { ...request.params, arguments: { ...written, by: "rules" } } } };
    },
    allows: ({ request }, { serverId }) => request.params?.["name"] !== "put" || serverId === "two",
  }),
});
