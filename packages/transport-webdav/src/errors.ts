import { DavpoolError, describeError } from "@davpool/core";

/** `INVALID_PATH`: a path that does not stay below the server's base, or cannot be read. Nothing was sent. */
export class InvalidPathError extends DavpoolError {
  constructor(path: string, why: string) {
    super("INVALID_PATH", `The path ${JSON.stringify(path.slice(0, 200))} is refused: ${why}`, {
      details: { path: path.slice(0, 200) },
    });
  }
}

/** `INVALID_REQUEST`: a method or header that must not be sent. Nothing was sent. */
export class InvalidRequestError extends DavpoolError {
  constructor(message: string) {
    super("INVALID_REQUEST", message);
  }
}

/** `INVALID_BODY`: the source of a request's body failed, so the request was broken off. Its error is the `cause`. */
export class InvalidBodyError extends DavpoolError {
  constructor(cause: unknown) {
    super("INVALID_BODY", `The request's body could not be read: ${describeError(cause)}`, { cause });
  }
}

/** `INVALID_XML`: a server's answer that is not the XML it should be. */
export class InvalidXmlError extends DavpoolError {
  constructor(why: string, cause?: unknown) {
    super("INVALID_XML", `The server's answer is not usable XML: ${why}.`, { cause });
  }
}
