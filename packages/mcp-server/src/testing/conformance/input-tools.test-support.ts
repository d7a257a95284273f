import { randomBytes, randomUUID } from "node:crypto";
import {
  CLIENT_CAPABILITIES_META_KEY,
  ProtocolError,
  ProtocolErrorCode,
  acceptedContent,
  createRequestStateCodec,
  inputRequired,
  type ClientCapabilities,
  type InputRequest,
  type InputRequests,
  type ServerContext,
} from "@modelcontextprotocol/server";
import type { ExtensionTool } from "../../extension.ts";
import { text, tool } from "./plain-tools.test-support.ts";

/** What a tool remembers between two rounds of one call, sealed, because the client carries it. */
interface State {
  readonly round: number;
  readonly name?: string;
  readonly nonce: string;
}

const codec = createRequestStateCodec<State>({ key: new Uint8Array(randomBytes(32)) });

const seal = (round: number, more: { readonly name?: string } = {}) =>
  codec.mint({ round, ...more, nonce: randomUUID() });

/** @throws ProtocolError when the client changed it. */
async function stateOf(context: ServerContext): Promise<State | undefined> {
  const sealed = context.mcpReq.requestState<string>();
  if (sealed === undefined) return undefined;
  try {
    return await codec.verify(sealed, context);
  } catch {
    throw new ProtocolError(ProtocolErrorCode.InvalidParams, "The requestState is not what was sent.");
  }
}

export function askFor(field: string, message: string): InputRequest {
  return inputRequired.elicit({
    message,
    requestedSchema: { type: "object", properties: { [field]: { type: "string" } }, required: [field] },
  });
}

function askModel(question: string): InputRequest {
  return inputRequired.createMessage({
    messages: [{ role: "user", content: { type: "text", text: question } }],
    maxTokens: 50,
  });
}

const askName = () => askFor("name", "What is your name?");
const askConfirmation = () =>
  inputRequired.elicit({
    message: "Please confirm",
    requestedSchema: { type: "object", properties: { ok: { type: "boolean" } }, required: ["ok"] },
  });

/** What the client answered; nothing of it has been checked. */
function answers({ mcpReq: { inputResponses: given } }: ServerContext) {
  const of = (key: string) => given?.[key] as { content?: { text?: unknown }; roots?: { uri?: string }[] } | undefined;
  return {
    given,
    name: (key: string) => stringOf(acceptedContent(given, key)?.name),
    model: (key: string) => stringOf(of(key)?.content?.text),
    roots: (key: string) => (Array.isArray(of(key)?.roots) ? of(key)?.roots : undefined),
  };
}

function stringOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** Tools that need the client's input and are called again with it, as 2026-07-28 has it. */
export const inputTools: readonly ExtensionTool[] = [
  tool("test_missing_capability", "Needs the client's model.", (_written, context) =>
    answers(context).given?.llm_answer === undefined
      ? inputRequired({ inputRequests: { llm_answer: askModel("Reply with the single word: pong") } })
      : text("the model answered"),
  ),
  tool("test_input_required_result_elicitation", "Needs a name.", (_written, context) => {
    const name = answers(context).name("user_name");
    return name === undefined ? inputRequired({ inputRequests: { user_name: askName() } }) : text(`Hello, ${name}!`);
  }),
  tool("test_input_required_result_sampling", "Needs the client's model.", (_written, context) => {
    const capital = answers(context).model("capital_question");
    return capital === undefined
      ? inputRequired({ inputRequests: { capital_question: askModel("What is the capital of France?") } })
      : text(`Sampling response: ${capital}`);
  }),
  tool("test_input_required_result_list_roots", "Needs the client's roots.", (_written, context) => {
    const roots = answers(context).roots("client_roots");
    return roots
      ? text(`Client exposed ${roots.length} root(s): ${roots.map(({ uri }) => uri).join(", ")}`)
      : inputRequired({ inputRequests: { client_roots: inputRequired.listRoots() } });
  }),
  tool("test_input_required_result_request_state", "Remembers something between rounds.", async (_written, context) => {
    const state = await stateOf(context);
    if (state && acceptedContent(answers(context).given, "confirm")) return text("state-ok: the state came back");
    return inputRequired({ inputRequests: { confirm: askConfirmation() }, requestState: await seal(1) });
  }),
  tool("test_input_required_result_tampered_state", "Refuses a state that was changed.", async (_written, context) => {
    const state = await stateOf(context);
    if (state && acceptedContent(answers(context).given, "confirm")) return text("integrity-ok: the state is as sent");
    return inputRequired({ inputRequests: { confirm: askConfirmation() }, requestState: await seal(1) });
  }),
  tool("test_input_required_result_multiple_inputs", "Needs three things at once.", async (_written, context) => {
    await stateOf(context);
    const given = answers(context);
    const [name, greeting, roots] = [given.name("user_name"), given.model("greeting"), given.roots("client_roots")];
    if (name !== undefined && greeting !== undefined && roots)
      return text(`${greeting} ${name}: ${roots.length} root(s) visible`);
    const inputRequests = {
      user_name: askName(),
      greeting: askModel("Generate a greeting"),
      client_roots: inputRequired.listRoots(),
    };
    return inputRequired({ inputRequests, requestState: await seal(1) });
  }),
  tool(
    "test_input_required_result_multi_round",
    "Needs two things, one after the other.",
    async (_written, context) => {
      const state = await stateOf(context);
      const { given } = answers(context);
      if (!state)
        return inputRequired({
          inputRequests: { step1: askFor("name", "Step 1: What is your name?") },
          requestState: await seal(1),
        });
      if (state.round === 1) {
        const name = stringOf(acceptedContent(given, "step1")?.name) ?? "somebody";
        return inputRequired({
          inputRequests: { step2: askFor("color", "Step 2: What is your favorite color?") },
          requestState: await seal(2, { name }),
        });
      }
      const color = stringOf(acceptedContent(given, "step2")?.color) ?? "no color";
      return text(`Multi-round complete: ${state.name} likes ${color}`);
    },
  ),
  tool("test_input_required_result_capabilities", "Asks only what the client can answer.", (_written, context) => {
    if (answers(context).given) return text("The client answered what it could.");
    const envelope = context.mcpReq.envelope as Readonly<Record<string, unknown>> | undefined;
    const able = envelope?.[CLIENT_CAPABILITIES_META_KEY] as ClientCapabilities | undefined;
    const inputRequests: InputRequests = {
      ...(able?.elicitation && { user_name: askName() }),
      ...(able?.sampling && { greeting: askModel("Generate a short greeting") }),
      ...(able?.roots && { client_roots: inputRequired.listRoots() }),
    };
    return Object.keys(inputRequests).length === 0
      ? text("The client can answer nothing.")
      : inputRequired({ inputRequests });
  }),
];
