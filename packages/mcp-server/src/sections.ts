import { Type, type Static, type TProperties } from "typebox";
import { gatewaySections } from "./gateway/section.ts";
import { httpSections } from "./http/section.ts";
import { telemetrySections } from "./telemetry/section.ts";
// Of the imports above nothing stays in the declarations, where these bring the types of sections.
import "./gateway/section.ts";
import "./http/section.ts";
import "./telemetry/section.ts";

const tools = Type.Object(
  {
    maxBodySize: Type.Optional(
      Type.Integer({
        minimum: 1,
        default: 1_048_576,
        description:
          "Bytes of a response body that a tool hands to the agent; the rest is cut, and the answer says so.",
      }),
    ),
  },
  { additionalProperties: false, description: "How the tools answer." },
);

export type ToolSettings = Required<Static<typeof tools>>;

declare module "@davpool/core" {
  interface ConfigSections {
    readonly tools?: Static<typeof tools>;
  }
}

/** Top-level keys of the configuration that belong to this package. */
export const sections: TProperties = {
  tools: Type.Optional(tools),
  ...gatewaySections,
  ...httpSections,
  ...telemetrySections,
};

export function toolSettings(section: unknown): ToolSettings {
  return { maxBodySize: 1_048_576, ...(section as Static<typeof tools> | undefined) };
}
