import { expect, test } from "vitest";
import { protectedResource, protectedResourcePaths, protectedResourceUrl } from "./protected-resource.ts";
import { readIdentity } from "./settings.ts";
import { createToken } from "./token-hash.ts";

const RESOURCE = "https://files.example.com/mcp";

test("the document names the issuer and every scope that means something", () => {
  const settings = readIdentity({
    oauth: { issuer: "https://id.example.com/", requiredScopes: ["davpool"] },
    scopes: { davpool: {}, "files:read": { readOnly: true } },
  });
  expect(protectedResource(settings, RESOURCE)).toEqual({
    resource: RESOURCE,
    resource_name: "davpool",
    authorization_servers: ["https://id.example.com/"],
    bearer_methods_supported: ["header"],
    scopes_supported: ["davpool", "files:read"],
  });
});

test("the document says nothing of scopes where there are none", () => {
  const settings = readIdentity({ oauth: { issuer: "https://id.example.com" } });
  expect(protectedResource(settings, RESOURCE)).not.toHaveProperty("scopes_supported");
});

test("with static tokens alone there is no document", () => {
  const settings = readIdentity({ tokens: [{ principal: "alice", hash: createToken().hash }] });
  expect(protectedResource(settings, RESOURCE)).toBeUndefined();
});

test("it stands below the well-known path, with the resource's path and without", () => {
  expect(protectedResourcePaths(RESOURCE)).toEqual([
    "/.well-known/oauth-protected-resource/mcp",
    "/.well-known/oauth-protected-resource",
  ]);
  expect(protectedResourcePaths("https://files.example.com")).toEqual(["/.well-known/oauth-protected-resource"]);
  expect(protectedResourceUrl(RESOURCE)).toBe("https://files.example.com/.well-known/oauth-protected-resource/mcp");
});
