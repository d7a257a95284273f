import { corePlugins, type AnyPlugin } from "@davpool/core";
import { webhook } from "@davpool/notifier-webhook";
import { auditLog } from "@davpool/policy-audit-log";
import { fileStore } from "@davpool/store-file";
import { memoryStore } from "@davpool/store-memory";
import { leastConnections } from "@davpool/strategy-least-connections";
import { random } from "@davpool/strategy-random";
import { responseTime } from "@davpool/strategy-response-time";
import { roundRobin } from "@davpool/strategy-round-robin";
import { priority } from "@davpool/strategy-priority";
import { weighted } from "@davpool/strategy-weighted";
import { mcp } from "@davpool/transport-mcp";
import { webdav } from "@davpool/transport-webdav";
// Of the imports above nothing stays in the declarations, where these bring the types of options.
import "@davpool/notifier-webhook";
import "@davpool/policy-audit-log";
import "@davpool/store-file";
import "@davpool/store-memory";
import "@davpool/strategy-least-connections";
import "@davpool/strategy-priority";
import "@davpool/strategy-random";
import "@davpool/strategy-response-time";
import "@davpool/strategy-round-robin";
import "@davpool/strategy-weighted";
import "@davpool/transport-mcp";
import "@davpool/transport-webdav";

/** The plugins that can be named without installing anything. Importing them also brings their types. */
export const builtIns: readonly AnyPlugin[] = [
  ...corePlugins,
  webdav,
  mcp,
  roundRobin,
  random,
  leastConnections,
  responseTime,
  weighted,
  priority,
  memoryStore,
  fileStore,
  webhook,
  auditLog,
];
