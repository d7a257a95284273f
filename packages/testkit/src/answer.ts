/** What a method decided to answer, before anything has been sent. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** For HEAD the body that GET would have had: its length is announced, its bytes are not sent. */
  readonly body?: Uint8Array;
}

/** Thrown by a method to answer with an error. */
export class HttpError extends Error {
  override readonly name = "HttpError";
  readonly answer: Answer;

  constructor(answer: Answer) {
    super(`answered with ${answer.status}`);
    this.answer = answer;
  }
}

export function emptyAnswer(status: number, headers: Readonly<Record<string, string>> = {}): Answer {
  return { status, headers };
}

export function textAnswer(status: number, text: string, headers: Readonly<Record<string, string>> = {}): Answer {
  return {
    status,
    headers: { "content-type": "text/plain; charset=utf-8", ...headers },
    body: new TextEncoder().encode(`${text}\n`),
  };
}

export function xmlAnswer(status: number, xml: string, headers: Readonly<Record<string, string>> = {}): Answer {
  return {
    status,
    headers: { "content-type": "application/xml; charset=utf-8", ...headers },
    body: new TextEncoder().encode(`<?xml version="1.0" encoding="utf-8"?>\n${xml}`),
  };
}

/** Ends a method with an error status and a reason for whoever reads the test's output. */
export function refuse(status: number, reason: string, headers?: Readonly<Record<string, string>>): never {
  throw new HttpError(textAnswer(status, reason, headers));
}

/** Ends a method with a WebDAV precondition element (RFC 4918, section 16). */
export function refuseWithCondition(status: number, condition: string): never {
  throw new HttpError(xmlAnswer(status, `<D:error xmlns:D="DAV:">${condition}</D:error>`));
}
