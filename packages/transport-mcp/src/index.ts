export { METHODS } from "./methods.ts";
export { mcp, mcp as default, mcpWith } from "./plugin.ts";
export {
  ConnectionBrokenError,
  InvalidRequestError,
  NotConnectedError,
  SessionLostError,
  UnusableAnswerError,
} from "./errors.ts";
export type {
  Era,
  McpError,
  McpEvent,
  McpMethod,
  McpProfile,
  McpProgress,
  McpRefusal,
  McpRequest,
  McpResponse,
  McpWire,
  OAuthProfile,
  ToolAnnotations,
} from "./wire.ts";
