import type { ServerProfile, Wire } from "@davpool/core";
import type { Secret } from "@davpool/core";
import type { ResponseBody } from "./response-body.ts";

/**
 * A request to whichever server the pool picks. Addresses in it are paths below the server's base URL, so that the
 * same request fits every server.
 */
export interface WebDavRequest {
  /** One of {@link METHODS}. */
  readonly method: string;
  /**
   * Path below the server's base, with or without a leading slash. Percent escapes are decoded per segment and
   * written anew; `?` and `#` are part of a name. A trailing slash names a collection.
   */
  readonly path: string;
  /**
   * Request headers. `Destination` takes a path like `path` does; the base, the source and folders above the source are
   * refused, and what exists there is replaced only with `Overwrite: T`. `Lock-Token` and `If` take bare tokens too.
   * Headers that belong to the connection or the credentials are refused.
   */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: WebDavBody;
}

/**
 * Bytes or text; a function that makes a new stream each time, so that the request can be repeated; or a stream that
 * can be read once, which is never sent a second time once it has begun to flow.
 */
export type WebDavBody = string | Uint8Array | (() => AsyncIterable<Uint8Array>) | AsyncIterable<Uint8Array>;

export interface WebDavResponse {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Path below the base that answered, where a redirect was followed to it. */
  readonly redirectedTo?: string;
  /** The request carried credentials, so that a 401 refuses them. */
  readonly authorized?: true;
  /** Must be read or discarded: it holds a connection until then. */
  readonly body: ResponseBody;
}

/** A WebDAV server's profile. */
export interface WebDavProfile extends ServerProfile {
  /** The collection below which everything happens, such as `https://dav.example.com/remote.php/webdav/`. */
  readonly url: string;
  /** With `password`: Basic authentication. */
  readonly username?: string;
  readonly password?: Secret;
  /** Bearer authentication, instead of `username` and `password`. */
  readonly token?: Secret;
}

export interface WebDavWire extends Wire {
  request: WebDavRequest;
  response: WebDavResponse;
  profile: WebDavProfile;
}
