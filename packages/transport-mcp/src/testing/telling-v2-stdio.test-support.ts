import { serveStdio } from "@modelcontextprotocol/server/stdio";
import { newerAsking } from "./asking-servers.test-support.ts";

/* A server of the modern era that says that everything has changed whenever it is asked for the list of its tools. */

serveStdio(
  () => {
    const server = newerAsking();
    server.setRequestHandler("tools/list", async () => {
      await server.sendToolListChanged();
      await server.sendResourceUpdated({ uri: "test://a" });
      await server.sendResourceUpdated({ uri: "test://b" });
      return { tools: [] };
    });
    return server;
  },
  { legacy: "reject" },
);
