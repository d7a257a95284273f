import { serveStdio } from "@modelcontextprotocol/server/stdio";
import { newerAsking } from "./asking-servers.test-support.ts";

/* A server of the newer SDK that asks its client. */

serveStdio(() => newerAsking());
