export {
  AffinityConflictError,
  AffinityUnavailableError,
  AffinityUnknownError,
  BroadcastBodyError,
  CallCancelledError,
  DeadlineExceededError,
  NoCredentialsError,
  NoServerAvailableError,
  OutcomeUnknownError,
  PolicyDeniedError,
  PolicyFailedError,
  PoolClosedError,
  PoolExhaustedError,
  PoolsClosedError,
  QuorumUnreachableError,
  attemptDetails,
} from "./call-errors.ts";
export type { ServerReport } from "./call-errors.ts";
export { ConfigError, SecretError, formatIssue } from "./config-errors.ts";
export type { ConfigIssue } from "./config-errors.ts";
export { PluginFailedError, ServiceMissingError } from "./plugin-errors.ts";
export { DavpoolError, describeError, isDavpoolError } from "./davpool-error.ts";
export {
  CredentialsRefusedError,
  DuplicateServerError,
  ForbiddenAddressError,
  InvalidProfileError,
  ServerDeclaredError,
  ServerDisabledError,
  UnknownAggregatorError,
  UnknownGroupError,
  UnknownServerError,
} from "./server-errors.ts";
export { StoreError } from "./store-error.ts";
