import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";

/* A server made with the older SDK. */

const server = new McpServer({ name: "older", version: "1.0.0" });
server.registerTool("greet", { description: "Greets.", annotations: { readOnlyHint: true } }, () => ({
  content: [{ type: "text", text: "hello from the older SDK" }],
}));
server.registerTool("break", {}, () => {
  throw new Error("it broke");
});
await server.connect(new StdioServerTransport());
