const VERBS = ["list", "get", "create", "update", "delete", "search", "archive", "restore", "move", "copy"];
const NOUNS = [
  ["issue", "the tracker of a repository"],
  ["pull_request", "the open and merged changes of a repository"],
  ["branch", "the branches of a repository"],
  ["commit", "the history of a branch"],
  ["release", "the published versions of a project"],
  ["workflow_run", "the runs of continuous integration"],
  ["comment", "the discussion of an issue or a change"],
  ["label", "the labels that issues may have"],
  ["milestone", "the plans of a project"],
  ["project_card", "the board of a project"],
  ["wiki_page", "the wiki of a project"],
  ["file", "the files of a working tree"],
  ["folder", "the folders of a working tree"],
  ["calendar_event", "the calendar of a team"],
  ["contact", "the address book of a team"],
  ["message", "the messages of a channel"],
  ["channel", "the channels of a workspace"],
  ["invoice", "the invoices of a customer"],
  ["customer", "the customers of a company"],
  ["order", "the orders of a shop"],
  ["product", "the catalogue of a shop"],
  ["shipment", "the parcels that are under way"],
  ["database_row", "the rows of a table"],
  ["query", "the stored queries of a database"],
  ["dashboard", "the dashboards of an installation"],
  ["alert_rule", "the rules that wake somebody"],
  ["log_entry", "the logs of a service"],
  ["deployment", "the deployments of an application"],
  ["secret_version", "the versions of a secret, without their values"],
  ["feature_flag", "the switches of an application"],
] as const;

/** What answers with the text that it is given. */
export const ECHO = "echo";

/** Three hundred tools, each of about a kibibyte, as large servers have them. */
export const TOOLS = [
  ...NOUNS.flatMap(([noun, place]) => VERBS.map((verb) => tool(verb, noun, place))).slice(1),
  echo(),
];

function tool(verb: string, noun: string, place: string) {
  const words = noun.replaceAll("_", " ");
  const reads = ["list", "get", "search"].includes(verb);
  return {
    name: `${verb}_${noun}`,
    title: `${verb[0]?.toUpperCase()}${verb.slice(1)} ${words}`,
    description: `Use it to ${verb} one ${words} or several in ${place}. What it answers has an identifier, the time of the last change and a link for people. Results come in pages of at most a hundred; ask for the next one with the cursor of the last answer.`,
    inputSchema: {
      type: "object" as const,
      properties: {
        owner: { type: "string", description: `Who owns ${place}: a user or an organisation.`, minLength: 1 },
        [noun]: { type: "string", description: `Identifier of the ${words}, or a part of its name.` },
        state: { type: "string", enum: ["open", "closed", "all"], default: "open", description: "Which ones." },
        fields: { type: "array", items: { type: "string" }, maxItems: 20, description: "What to tell of each." },
        since: { type: "string", format: "date-time", description: "Only what has changed since then." },
        cursor: { type: "string", description: "From the answer before." },
        limit: { type: "integer", minimum: 1, maximum: 100, default: 30, description: "How many at most." },
      },
      required: ["owner", noun],
      additionalProperties: false,
    },
    annotations: {
      readOnlyHint: reads,
      destructiveHint: verb === "delete",
      idempotentHint: verb !== "create" && verb !== "copy",
      openWorldHint: true,
    },
  };
}

function echo() {
  return {
    name: ECHO,
    description: "Answers with the text that it is given.",
    inputSchema: { type: "object" as const, properties: { text: { type: "string" } }, required: ["text"] },
    annotations: { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false },
  };
}
