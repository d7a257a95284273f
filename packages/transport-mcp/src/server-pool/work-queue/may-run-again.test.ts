import { DavpoolError } from "@davpool/core";
import { expect, test } from "vitest";
import { McpAnswerError, ServerRefusedError } from "../errors.ts";
import { mayRunAgain } from "./may-run-again.ts";

const refused = (status: number) => new ServerRefusedError("s1", { status, message: `HTTP ${status}` });
const failed = (code: string) => new DavpoolError(code, code);

test.each([
  ["nobody could be reached", failed("NO_SERVER_AVAILABLE"), true, true],
  ["no slot was free", failed("POOL_EXHAUSTED"), true, true],
  ["time was up before anything was sent", failed("DEADLINE_EXCEEDED"), true, true],
  ["it may have been carried out", failed("OUTCOME_UNKNOWN"), true, false],
  ["HTTP 503", refused(503), true, false],
  ["HTTP 429", refused(429), true, false],
  ["HTTP 403", refused(403), false, false],
  ["a JSON-RPC error", new McpAnswerError("s1", { code: -1, message: "no" }), false, false],
  ["the caller went away", failed("CANCELLED"), false, false],
  ["the pool was closed", failed("POOL_CLOSED"), false, false],
  ["anything else", new Error("?"), false, false],
])("%s", (_what, error, repeatable, other) => {
  expect([mayRunAgain(error, true), mayRunAgain(error, false)]).toEqual([repeatable, other]);
});
