import { definePlugin } from "../plugin/define-plugin.ts";

/** A plugin that its module does not export as its default. */
export const named = definePlugin({ kind: "selector", name: "named", create: () => ({ select: ([first]) => first }) });
