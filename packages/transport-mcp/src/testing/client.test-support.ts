import type { AskedAbout, McpHost, UpstreamSession } from "../host.ts";
import type { McpRequest } from "../wire.ts";

type Fields = Readonly<Record<string, unknown>>;

interface Asked {
  readonly session: UpstreamSession;
  readonly method: string;
  readonly params: Fields | undefined;
  readonly about: AskedAbout;
}

interface Said {
  readonly session: UpstreamSession;
  readonly method: string;
  readonly params: Fields | undefined;
  readonly about: McpRequest | undefined;
}

/** A host that writes down everything, and answers what it is asked with what the test says. */
export class TestHost implements McpHost {
  capabilities: Fields = { sampling: {}, elicitation: { form: {}, url: {} }, roots: { listChanged: true } };
  /** Who answers. */
  answer: (asked: Asked) => Promise<Fields> = () => Promise.resolve({});
  readonly asked: Asked[] = [];
  readonly said: Said[] = [];
  readonly begun: UpstreamSession[] = [];
  readonly ended: UpstreamSession[] = [];
  readonly #waiting = new Set<() => void>();

  client(session: UpstreamSession) {
    return {
      capabilities: this.capabilities,
      began: () => {
        this.begun.push(session);
        this.#changed();
      },
      request: (method: string, params: Fields | undefined, about: AskedAbout) => {
        const asked = { session, method, params, about };
        this.asked.push(asked);
        this.#changed();
        return this.answer(asked);
      },
      notified: (method: string, params: Fields | undefined, about: McpRequest | undefined) => {
        this.said.push({ session, method, params, about });
        this.#changed();
      },
      ended: () => {
        this.ended.push(session);
        this.#changed();
      },
    };
  }

  /** Resolves when this holds, which is looked at whenever something happens. */
  until(holds: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        if (!holds()) return;
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
  }

  #changed(): void {
    for (const look of this.#waiting) look();
  }
}

/** A promise that can be settled from outside, and rejects when its question is not wanted any more. */
export function unanswered(asked: Asked): Promise<Fields> {
  const { signal } = asked.about;
  return new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
  });
}
