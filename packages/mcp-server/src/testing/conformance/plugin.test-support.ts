import { definePlugin } from "@davpool/core";
import { EXTENSION, type ChangeListener } from "../../extension.ts";
import { askingTools } from "./asking-tools.test-support.ts";
import { inputTools } from "./input-tools.test-support.ts";
import { plainTools, text, tool } from "./plain-tools.test-support.ts";
import { offerPrompts } from "./prompts.test-support.ts";
import { offerResources } from "./resources.test-support.ts";

/** Offers everything that the official conformance suites call for, through davpool's own hosting. */
export default definePlugin({
  kind: "service",
  name: "conformance",
  provides: EXTENSION,
  create: () => {
    const listeners = new Set<ChangeListener>();
    const changed = (list: "tools" | "prompts") => () => {
      for (const listener of listeners) listener.listChanged(list);
      return text(`${list} changed`);
    };
    return {
      tools: [
        ...plainTools,
        ...askingTools,
        ...inputTools,
        tool("test_trigger_tool_change", "Tells clients that tools changed.", changed("tools")),
        tool("test_trigger_prompt_change", "Tells clients that prompts changed.", changed("prompts")),
      ],
      capabilities: { prompts: { listChanged: true }, logging: {}, completions: {} },
      connect(server) {
        offerResources(server);
        offerPrompts(server);
      },
      watch(listener) {
        listeners.add(listener);
        return { [Symbol.dispose]: () => void listeners.delete(listener) };
      },
    };
  },
});
