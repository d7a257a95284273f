import { DavpoolError } from "./davpool-error.ts";

function listed(ids: readonly string[]): string {
  return ids.length === 0 ? "there are none" : ids.join(", ");
}

/** `UNKNOWN_SERVER`: no server of this id; `details.serverIds` lists those there are. */
export class UnknownServerError extends DavpoolError {
  constructor(serverId: string, serverIds: readonly string[]) {
    super("UNKNOWN_SERVER", `There is no server "${serverId}". Valid server ids: ${listed(serverIds)}.`, {
      details: { serverId, serverIds },
    });
  }
}

/** `UNKNOWN_GROUP`: no enabled server has this group. */
export class UnknownGroupError extends DavpoolError {
  constructor(group: string, groups: readonly string[]) {
    super(
      "UNKNOWN_GROUP",
      `There is no enabled server in group "${group}". Groups with enabled servers: ${listed(groups)}.`,
      { details: { group, groups } },
    );
  }
}

/** `UNKNOWN_AGGREGATOR`: no plugin makes one answer of many in this way. */
export class UnknownAggregatorError extends DavpoolError {
  constructor(name: string, names: readonly string[]) {
    super("UNKNOWN_AGGREGATOR", `There is no aggregator "${name}". Aggregators: ${listed(names)}.`, {
      details: { name, names },
    });
  }
}

/** `SERVER_DISABLED`: the server named by the call takes no requests. */
export class ServerDisabledError extends DavpoolError {
  constructor(serverId: string) {
    super("SERVER_DISABLED", `Server "${serverId}" is disabled. Enable it first, or name another one.`, {
      details: { serverId },
    });
  }
}

/** `DUPLICATE_SERVER`: the id is taken. */
export class DuplicateServerError extends DavpoolError {
  constructor(serverId: string) {
    super(
      "DUPLICATE_SERVER",
      `There is a server "${serverId}" already. Choose another serverId, or update the existing server.`,
      { details: { serverId } },
    );
  }
}

/** `SERVER_DECLARED`: only the operator's configuration can take this server away or change it. */
export class ServerDeclaredError extends DavpoolError {
  constructor(serverId: string, wish: string) {
    super(
      "SERVER_DECLARED",
      `Server "${serverId}" is declared in the configuration and cannot be ${wish} here. Change the configuration file or the environment instead.`,
      { details: { serverId } },
    );
  }
}

/** `INVALID_PROFILE`: a server profile with wrong fields; every problem is listed. */
export class InvalidProfileError extends DavpoolError {
  constructor(serverId: string, problems: readonly string[]) {
    super("INVALID_PROFILE", `The profile of server "${serverId}" is not valid: ${problems.join(" ")}`, {
      details: { serverId, problems },
    });
  }
}

/** `CREDENTIALS_REFUSED`: the server refuses the credentials that it was asked with (HTTP 401). */
export class CredentialsRefusedError extends DavpoolError {
  constructor(serverId: string, options: { readonly cause?: unknown } = {}) {
    super(
      "CREDENTIALS_REFUSED",
      `Server "${serverId}" refuses its credentials (HTTP 401). Correct the user name, password or token; until they change it is asked only every few minutes.`,
      { ...options, details: { serverId } },
    );
  }
}

/** `FORBIDDEN_ADDRESS`: a server address that an untrusted caller may not name. */
export class ForbiddenAddressError extends DavpoolError {
  constructor(address: string, why: string, remedy: string) {
    super("FORBIDDEN_ADDRESS", `${address} is refused: ${why}. ${remedy}`, { details: { address } });
  }
}
