import type { Access } from "./access.ts";

/** Who makes a request, and what that one may do. */
export interface Principal {
  /**
   * Unique among all principals: the plain name of a static token (`alice`), or `<issuer>#<claim>` of an issuer's
   * (`https://id.example.com#4711`). Plain names hold neither ":" nor "#", and an issuer holds no "#", so no token of
   * an issuer can be taken for a static one, or for another issuer's. Without control characters; fit for logs.
   */
  readonly name: string;
  readonly access: Access;
  /** Milliseconds since 1970 from which on the token is refused. */
  readonly expiresAt?: number;
}
