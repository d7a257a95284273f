export { responseTime, responseTime as default } from "./response-time.ts";
export type { ResponseTimeOptions } from "./response-time.ts";
