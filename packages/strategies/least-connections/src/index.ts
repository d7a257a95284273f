export { leastConnections, leastConnections as default } from "./least-connections.ts";
