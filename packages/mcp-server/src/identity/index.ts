export { fullAccess } from "./access.ts";
export { Authenticator } from "./authenticator.ts";
export { isDenial } from "./denial.ts";
export type { Denial } from "./denial.ts";
export type { Principal } from "./principal.ts";
export { protectedResource, protectedResourcePaths } from "./protected-resource.ts";
export type { IdentitySettings } from "./settings.ts";
export { createToken } from "./token-hash.ts";
