import type { IdentitySettings } from "./settings.ts";

const WELL_KNOWN = "/.well-known/oauth-protected-resource";

/** Metadata of a protected resource (RFC 9728): tells clients where to get tokens for it. */
export interface ProtectedResource {
  readonly resource: string;
  readonly resource_name: string;
  readonly authorization_servers: readonly string[];
  readonly bearer_methods_supported: readonly ["header"];
  readonly scopes_supported?: readonly string[];
}

/**
 * The document that is served at every one of {@link protectedResourcePaths}.
 * @param resource the address of the MCP endpoint as clients write it, such as `https://files.example.com/mcp`.
 * @returns undefined without an authorization server: there is nothing to discover, as operators hand static tokens
 *   out, and clients that found a document would look for a server that is not there. Answer 404.
 */
export function protectedResource(settings: IdentitySettings, resource: string): ProtectedResource | undefined {
  const { oauth } = settings;
  if (!oauth) return undefined;
  const scopes = supportedScopes(settings);
  return {
    resource,
    resource_name: "davpool",
    authorization_servers: [oauth.issuer],
    bearer_methods_supported: ["header"],
    ...(scopes.length > 0 && { scopes_supported: scopes }),
  };
}

/** Paths of the document: with the resource's own path behind it (RFC 9728 §3.1), and without, for clients that try both. */
export function protectedResourcePaths(resource: string): readonly string[] {
  const { pathname } = new URL(resource);
  return pathname === "/" ? [WELL_KNOWN] : [WELL_KNOWN + pathname, WELL_KNOWN];
}

/** Address of the document, as challenges name it. */
export function protectedResourceUrl(resource: string): string {
  const [path = WELL_KNOWN] = protectedResourcePaths(resource);
  return new URL(resource).origin + path;
}

/** Every scope that has a meaning here. */
export function supportedScopes({ oauth, scopes }: IdentitySettings): readonly string[] {
  return [...new Set([...(oauth?.requiredScopes ?? []), ...(scopes?.keys() ?? [])])];
}
