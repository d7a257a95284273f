import type { ElicitRequestFormParams, ServerContext } from "@modelcontextprotocol/server";
import type { ExtensionTool } from "../../extension.ts";
import { text, tool } from "./plain-tools.test-support.ts";

type RequestedSchema = ElicitRequestFormParams["requestedSchema"];

const DEFAULTS: RequestedSchema = {
  type: "object",
  properties: {
    name: { type: "string", description: "User name", default: "John Doe" },
    age: { type: "integer", description: "User age", default: 30 },
    score: { type: "number", description: "User score", default: 95.5 },
    status: {
      type: "string",
      description: "User status",
      enum: ["active", "inactive", "pending"],
      default: "active",
    },
    verified: { type: "boolean", description: "Verification status", default: true },
  },
  required: [],
};

const titled = (...titles: readonly string[]) => titles.map((title, index) => ({ const: `value${index + 1}`, title }));

const CHOICES: RequestedSchema = {
  type: "object",
  properties: {
    untitledSingle: { type: "string", description: "One option", enum: ["option1", "option2", "option3"] },
    titledSingle: {
      type: "string",
      description: "One option with titles",
      oneOf: titled("First Option", "Second Option", "Third Option"),
    },
    legacyEnum: {
      type: "string",
      description: "One option with titles, as they were written once",
      enum: ["opt1", "opt2", "opt3"],
      enumNames: ["Option One", "Option Two", "Option Three"],
    },
    untitledMulti: {
      type: "array",
      description: "Several options",
      minItems: 1,
      maxItems: 3,
      items: { type: "string", enum: ["option1", "option2", "option3"] },
    },
    titledMulti: {
      type: "array",
      description: "Several options with titles",
      minItems: 1,
      maxItems: 3,
      items: { anyOf: titled("First Choice", "Second Choice", "Third Choice") },
    },
  },
  required: [],
};

async function elicit({ mcpReq }: ServerContext, message: string, requestedSchema: RequestedSchema) {
  const { action, content } = await mcpReq.send({ method: "elicitation/create", params: { message, requestedSchema } });
  return text(`Elicitation completed: action=${action}, content=${JSON.stringify(content ?? {})}`);
}

function one(name: string, description: string) {
  return {
    type: "object" as const,
    properties: { [name]: { type: "string" as const, description } },
    required: [name],
  };
}

/** Tools that ask the client while they run, as the 2025 protocols have it. */
export const askingTools: readonly ExtensionTool[] = [
  tool(
    "test_sampling",
    "Asks the client's model.",
    async (written, { mcpReq }) => {
      const { prompt } = written as { prompt: string };
      const { content } = await mcpReq.send({
        method: "sampling/createMessage",
        params: { messages: [{ role: "user", content: { type: "text", text: prompt } }], maxTokens: 100 },
      });
      return text(`LLM response: ${"text" in content ? content.text : "none"}`);
    },
    one("prompt", "What to ask the model"),
  ),
  tool(
    "test_elicitation",
    "Asks the client's user.",
    (written, context) =>
      elicit(context, (written as { message: string }).message, one("response", "What the user answers")),
    one("message", "What to ask the user"),
  ),
  tool("test_elicitation_sep1034_defaults", "Asks with answers already filled in.", (_written, context) =>
    elicit(context, "Please review and update the form fields with defaults", DEFAULTS),
  ),
  tool("test_elicitation_sep1330_enums", "Asks to choose.", (_written, context) =>
    elicit(context, "Please select options from the enum fields", CHOICES),
  ),
];
