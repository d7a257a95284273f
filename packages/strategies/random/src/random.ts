import { definePlugin, type ServerView } from "@davpool/core";

declare module "@davpool/core" {
  interface SelectorOptions {
    random: object;
  }
}

/** Takes any server that may take the request, each as likely as the others. */
export const random = definePlugin({
  kind: "selector",
  name: "random",
  create: (context) => ({
    select: (candidates: readonly [ServerView, ...ServerView[]]) =>
      candidates[Math.floor(context.random() * candidates.length)] ?? candidates[0],
  }),
});
