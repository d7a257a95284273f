import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { olderAsking } from "./asking-servers.test-support.ts";

/* A server of the older SDK that asks its client. */

await olderAsking().connect(new StdioServerTransport());
