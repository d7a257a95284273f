/* Tools of servers that ask their client, and that keep something for each of their sessions. */

type Fields = Readonly<Record<string, unknown>>;

/** A server's side of one call. */
export interface Side {
  /** Asks the client. Rejects with the error that it answers. */
  ask(method: string, params: Fields, options: { readonly signal?: AbortSignal }): Promise<unknown>;
  /** The same, and nothing says which call it belongs to. */
  askAlone(method: string, params: Fields): Promise<unknown>;
  say(method: string, params: Fields): Promise<void>;
  /** Closes the stream of the call, which the client may take up again. */
  interrupt(): void;
}

/** What a session knows. */
export class SessionState {
  readonly notes: string[] = [];
  /** Withdraws the question that is open. */
  withdraw = new AbortController();
}

export const TOOLS = ["ask", "ask-alone", "withdraw", "say", "note"].map((name) => ({
  name,
  inputSchema: { type: "object" as const },
}));

/** The text that a tool answers with. */
export async function textOfTool(name: string, given: Fields, side: Side, state: SessionState): Promise<string> {
  const { method = "", params = {} } = given as { readonly method?: string; readonly params?: Fields };
  switch (name) {
    case "ask":
      if (given["interrupted"] === true) side.interrupt();
      state.withdraw = new AbortController();
      return answered(side.ask(method, params, { signal: state.withdraw.signal }));
    case "ask-alone":
      return answered(side.askAlone(method, params));
    case "withdraw":
      state.withdraw.abort(new Error("never mind"));
      return "withdrawn";
    case "say":
      await side.say(method, params);
      return "said";
    case "note":
      state.notes.push(String(given["text"]));
      return `${process.pid} ${state.notes.join(" ")}`;
    default:
      throw new Error(`no tool ${name}`);
  }
}

async function answered(asking: Promise<unknown>): Promise<string> {
  try {
    return JSON.stringify(await asking);
  } catch (error) {
    const { code, message, data } = error as { code?: unknown; message?: unknown; data?: unknown };
    return JSON.stringify({ error: { code, message, data } });
  }
}
