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
  PoolClosedError,
  PoolExhaustedError,
  PoolsClosedError,
  attemptDetails,
} from "./call-errors.ts";
export type { ServerReport } from "./call-errors.ts";
export { ConfigError, SecretError, formatIssue } from "./config-errors.ts";
export type { ConfigIssue } from "./config-errors.ts";
export { DavpoolError, describeError, isDavpoolError } from "./davpool-error.ts";
export {
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
