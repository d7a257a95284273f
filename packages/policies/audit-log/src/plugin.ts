import { resolve } from "node:path";
import { definePlugin } from "@davpool/core";
import { Type, type Static } from "typebox";
import { AuditFile } from "./audit-file.ts";
import { AuditPolicy } from "./audit-policy.ts";
import { lostLine } from "./audit-line.ts";

const options = Type.Object({
  file: Type.String({
    minLength: 1,
    description: "The file that lines are appended to, counted from the configuration's folder.",
  }),
  arguments: Type.Optional(
    Type.Enum(["none", "names", "values"], {
      default: "names",
      description: "What is told of a tool's arguments. Values may hold secrets and personal data.",
    }),
  ),
  required: Type.Optional(
    Type.Boolean({ default: false, description: "Calls are refused for as long as the file cannot be written." }),
  ),
});

export type AuditLogOptions = Static<typeof options>;

declare module "@davpool/core" {
  interface PolicyOptions {
    "audit-log": AuditLogOptions;
  }
}

/** The policy `audit-log`: writes who asked for what, and how it ended, as one line of JSON for each call. */
export const auditLog = definePlugin({
  kind: "policy",
  name: "audit-log",
  options,
  create({ pool, clock, log, baseDirectory }, { file, arguments: detail = "names", required = false }) {
    const path = resolve(baseDirectory, file);
    return new AuditPolicy({
      pool,
      path,
      file: new AuditFile({ path, clock, log, lostLine: (lost) => lostLine(pool, lost, clock.wall()) }),
      detail,
      required,
      clock,
    });
  },
  start: (policy) => policy.start(),
});
