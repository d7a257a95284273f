// Whoever writes a configuration needs the types of its sections.
import "./sections.ts";

export { defineConfig, definePlugin, named } from "@davpool/core";
export type { Config } from "@davpool/core";
export { builtIns } from "./built-ins.ts";
export { EXIT, runCli } from "./cli.ts";
export type { Screen, Terminal } from "./cli.ts";
export { configurationSchema, readConfiguration } from "./configuration.ts";
export type { ConfigurationSource } from "./configuration.ts";
export { EXTENSION } from "./extension.ts";
export type { ChangeListener, Extension, ExtensionReply, ExtensionTool } from "./extension.ts";
export { createLog } from "./log.ts";
export type { LogLevel } from "./log.ts";
export { McpServers } from "./mcp-server.ts";
export { toolsOf } from "./running.ts";
export { serve } from "./serve.ts";
export type { Tool, ToolAnswer, ToolCall, ToolDefinition } from "./tools/tool.ts";
