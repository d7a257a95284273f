import { setTimeout as sleep } from "node:timers/promises";
import type { CallToolResult } from "@modelcontextprotocol/server";
import type { ExtensionTool } from "../../extension.ts";
import { PNG, WAV } from "./media.test-support.ts";

type Content = CallToolResult["content"][number];

/** Milliseconds between two messages of one call. */
const PAUSE = 20;

export const text = (words: string): CallToolResult => ({ content: [{ type: "text", text: words }] });

export function tool(
  name: string,
  description: string,
  run: ExtensionTool["run"],
  inputSchema: object = { type: "object", properties: {} },
): ExtensionTool {
  return { definition: { name, description, inputSchema }, run };
}

const IMAGE: Content = { type: "image", ...PNG };
const AUDIO: Content = { type: "audio", ...WAV };

function embedded(uri: string, mimeType: string, words: string): Content {
  return { type: "resource", resource: { uri, mimeType, text: words } };
}

/** A schema whose every word must come through `tools/list`. */
const JSON_SCHEMA_2020_12 = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  type: "object",
  $defs: {
    address: {
      $anchor: "addressDef",
      type: "object",
      properties: { street: { type: "string" }, city: { type: "string" } },
    },
  },
  properties: {
    name: { type: "string" },
    address: { $ref: "#/$defs/address" },
    contactMethod: { type: "string", enum: ["phone", "email"] },
    phone: { type: "string" },
    email: { type: "string" },
  },
  allOf: [{ anyOf: [{ required: ["phone"] }, { required: ["email"] }] }],
  if: { properties: { contactMethod: { const: "phone" } }, required: ["contactMethod"] },
  // oxlint-disable-next-line unicorn/no-thenable -- a word of JSON Schema
  then: { required: ["phone"] },
  else: { required: ["email"] },
  additionalProperties: false,
};

const MIRRORED = {
  type: "object",
  properties: {
    region: { type: "string", description: "Sent in the header Mcp-Param-Region as well.", "x-mcp-header": "Region" },
    level: { type: "integer", description: "Sent in the body alone." },
  },
};

/** Tools that answer by themselves, named as the conformance suite calls them. */
export const plainTools: readonly ExtensionTool[] = [
  tool("test_simple_text", "Answers with text.", () => text("This is a simple text response for testing.")),
  tool("test_image_content", "Answers with an image.", () => ({ content: [IMAGE] })),
  tool("test_audio_content", "Answers with a sound.", () => ({ content: [AUDIO] })),
  tool("test_embedded_resource", "Answers with a resource.", () => ({
    content: [embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")],
  })),
  tool("test_multiple_content_types", "Answers with text, an image and a resource.", () => ({
    content: [
      { type: "text", text: "Multiple content types test:" },
      IMAGE,
      embedded("test://mixed-content-resource", "application/json", JSON.stringify({ test: "data", value: 123 })),
    ],
  })),
  tool("test_error_handling", "Fails.", () => ({
    ...text("This tool intentionally returns an error for testing"),
    isError: true,
  })),
  tool("test_tool_with_logging", "Logs while it runs.", async (_written, { mcpReq }) => {
    for (const data of ["Tool execution started", "Tool processing data", "Tool execution completed"]) {
      await mcpReq.notify({ method: "notifications/message", params: { level: "info", data } });
      await sleep(PAUSE);
    }
    return text("Tool with logging executed successfully");
  }),
  tool("test_logging_tool", "Logs what the request asks to hear.", async (_written, { mcpReq }) => {
    await mcpReq.log("info", "Heard only by who asked for it.");
    return text("logged");
  }),
  tool("test_tool_with_progress", "Reports progress, if it is asked to.", async (_written, { mcpReq }) => {
    const { progressToken } = mcpReq._meta ?? {};
    if (progressToken === undefined) return text("no progress token");
    for (const progress of [0, 50, 100]) {
      const params = { progressToken, progress, total: 100, message: `Completed step ${progress} of 100` };
      await mcpReq.notify({ method: "notifications/progress", params });
      await sleep(PAUSE);
    }
    return text(String(progressToken));
  }),
  tool("test_reconnection", "Ends the stream of its call before it answers.", async (_written, { http }) => {
    http?.closeSSE?.();
    await sleep(PAUSE);
    return text("Reconnection test completed successfully.");
  }),
  tool("test_streaming_elicitation", "Answers without asking anything.", () => text("nothing was asked")),
  tool(
    "json_schema_2020_12_tool",
    "Has a schema of many words.",
    (written) => text(`JSON Schema 2020-12 tool called with: ${JSON.stringify(written)}`),
    JSON_SCHEMA_2020_12,
  ),
  tool(
    "test_x_mcp_header",
    "Has an argument that is sent in a header as well.",
    (written) => text(`region=${(written as { region?: string } | undefined)?.region ?? "<none>"}`),
    MIRRORED,
  ),
];
