import { DurationSchema } from "@davpool/core";
import { Type, type Static, type TProperties } from "typebox";

const closed = { additionalProperties: false } as const;
const patterns = (description: string) => Type.Optional(Type.Array(Type.String({ minLength: 1 }), { description }));

const tools = Type.Object(
  {
    allow: patterns(
      'Only these tools, by the names that the servers give them; * stands for any text, as in "read_*".',
    ),
    deny: patterns("Not these tools, even if they are allowed."),
    rename: Type.Optional(
      Type.Record(Type.String({ minLength: 1 }), Type.String({ minLength: 1 }), {
        description: "Other names, by the names that the servers give them.",
      }),
    ),
    descriptions: Type.Optional(
      Type.Record(Type.String({ minLength: 1 }), Type.String(), {
        description: "Other descriptions, by the names that the servers give the tools.",
      }),
    ),
  },
  { ...closed, description: "Which of the pool's tools clients see, and how." },
);

const pool = Type.Object(
  {
    tools: Type.Optional(tools),
    trustHints: Type.Optional(
      Type.Boolean({
        default: false,
        description:
          "Believe these servers that a tool with readOnlyHint changes nothing: whoever may only read may then use it. Without it they have none of the pool's tools.",
      }),
    ),
  },
  closed,
);

const gateway = Type.Object(
  {
    namespace: Type.Optional(
      Type.Enum(["auto", "always"], {
        default: "auto",
        description:
          "auto: what MCP servers offer is called `<pool>__<name>`, unless theirs is the only pool. always: also then.",
      }),
    ),
    longestCall: Type.Optional(
      DurationSchema({
        default: "10m",
        description:
          "Time that a call may take in all while its server reports progress: each report lets it go on for as long as a call may take without one.",
      }),
    ),
    pools: Type.Optional(Type.Record(Type.String(), pool, { description: "Settings for single pools, by name." })),
  },
  { ...closed, description: "How pools of MCP servers appear to clients." },
);

/** Settings for the tools of one pool. */
export type ToolFilter = Static<typeof tools>;
export type GatewaySection = Static<typeof gateway>;

declare module "@davpool/core" {
  interface ConfigSections {
    readonly gateway?: GatewaySection;
  }
}

/** The top-level key `gateway`. */
export const gatewaySections: TProperties = { gateway: Type.Optional(gateway) };
