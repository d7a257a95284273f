export { lockTokens } from "./affinity.ts";
export { destinationProblem } from "./destinations.ts";
export { InvalidBodyError, InvalidPathError, InvalidRequestError, InvalidXmlError } from "./errors.ts";
export { METHODS, isSafe } from "./methods.ts";
export { MultistatusScan } from "./multistatus.ts";
export type { PartFailure } from "./multistatus.ts";
export { webdav, webdav as default } from "./plugin.ts";
export type { BodyRead, ResponseBody } from "./response-body.ts";
export type { WebDavBody, WebDavProfile, WebDavRequest, WebDavResponse, WebDavWire } from "./wire.ts";
