import { DavpoolError } from "./davpool-error.ts";

/**
 * `STORE_KEY_MISSING`, `STORE_KEY_WRONG`, `STORE_KEY_WEAK`, `STORE_VERSION`, `STORE_LOCKED`, `STORE_CORRUPT`, `STORE_UNWRITABLE`: the profile
 * store cannot be read or written. The page of `@davpool/store-file` tells them apart.
 */
export class StoreError extends DavpoolError {
  constructor(
    code: `STORE_${"KEY_MISSING" | "KEY_WRONG" | "KEY_WEAK" | "VERSION" | "LOCKED" | "CORRUPT" | "UNWRITABLE"}`,
    message: string,
    options: { readonly cause?: unknown; readonly details?: Readonly<Record<string, unknown>> } = {},
  ) {
    super(code, message, options);
  }
}
