import {
  ProtocolError,
  ProtocolErrorCode,
  acceptedContent,
  inputRequired,
  type PromptMessage,
  type Server,
} from "@modelcontextprotocol/server";
import { askFor } from "./input-tools.test-support.ts";
import { PNG } from "./media.test-support.ts";

const argument = (name: string, description: string) => ({ name, description, required: true });

const prompts = [
  { name: "test_simple_prompt", description: "Takes nothing." },
  {
    name: "test_prompt_with_arguments",
    description: "Takes two arguments.",
    arguments: [argument("arg1", "First test argument"), argument("arg2", "Second test argument")],
  },
  {
    name: "test_prompt_with_embedded_resource",
    description: "Holds a resource.",
    arguments: [argument("resourceUri", "Address of the resource")],
  },
  { name: "test_prompt_with_image", description: "Holds an image." },
  { name: "test_input_required_result_prompt", description: "Needs the client's input first." },
];

const say = (words: string): PromptMessage => ({ role: "user", content: { type: "text", text: words } });

function messages(name: string, given: Readonly<Record<string, string>>): PromptMessage[] {
  switch (name) {
    case "test_simple_prompt":
      return [say("This is a simple prompt for testing.")];
    case "test_prompt_with_arguments":
      return [say(`Prompt with arguments: arg1='${given.arg1}', arg2='${given.arg2}'`)];
    case "test_prompt_with_embedded_resource": {
      const resource = {
        uri: given.resourceUri ?? "",
        mimeType: "text/plain",
        text: "Embedded resource content for testing.",
      };
      return [
        { role: "user", content: { type: "resource", resource } },
        say("Please process the embedded resource above."),
      ];
    }
    case "test_prompt_with_image":
      return [{ role: "user", content: { type: "image", ...PNG } }, say("Please analyze the image above.")];
    default:
      throw new ProtocolError(ProtocolErrorCode.InvalidParams, `There is no prompt "${name}".`);
  }
}

export function offerPrompts(server: Server): void {
  server.setRequestHandler("prompts/list", () => ({ prompts }));
  server.setRequestHandler("prompts/get", ({ params }, { mcpReq }) => {
    if (params.name !== "test_input_required_result_prompt")
      return { messages: messages(params.name, params.arguments ?? {}) };
    const context = acceptedContent(mcpReq.inputResponses, "user_context")?.context;
    return typeof context === "string"
      ? { messages: [say(`Use the following context: ${context}`)] }
      : inputRequired({
          inputRequests: { user_context: askFor("context", "What context should the prompt use?") },
        });
  });
  server.setRequestHandler("completion/complete", () => ({ completion: { values: [], total: 0, hasMore: false } }));
}
