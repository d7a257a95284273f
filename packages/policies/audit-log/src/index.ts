export { auditLog, auditLog as default } from "./plugin.ts";
export type { AuditLogOptions } from "./plugin.ts";
