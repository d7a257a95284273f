import { McpServer } from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";

/* A server made with the newer SDK. */

serveStdio(() => {
  const server = new McpServer({ name: "newer", version: "1.0.0" });
  server.registerTool("greet", { description: "Greets.", annotations: { readOnlyHint: true } }, () => ({
    content: [{ type: "text", text: "hello from the newer SDK" }],
  }));
  server.registerTool("break", {}, () => {
    throw new Error("it broke");
  });
  return server;
});
