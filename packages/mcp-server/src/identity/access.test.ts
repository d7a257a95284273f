import { describe, expect, test } from "vitest";
import { accessOf, fullAccess, refusal, type ToolUse } from "./access.ts";

const use = (more: Partial<ToolUse> = {}): ToolUse => ({ tool: "dav_request", pool: "files", safe: false, ...more });

describe("access", () => {
  test("that is full allows everything", () => {
    expect(refusal(fullAccess, use())).toBeUndefined();
    expect(fullAccess.allowsPool("any") && fullAccess.allowsTool("any", "any")).toBe(true);
    expect(fullAccess.readOnly("any", "any")).toBe(false);
  });

  test("of no grant allows nothing", () => {
    const access = accessOf([]);
    expect(access.allowsPool("files")).toBe(false);
    expect(access.allowsTool("dav_request", "files")).toBe(false);
    expect(refusal(access, use({ safe: true }))).toContain('no access to the pool "files"');
  });

  test("of an empty grant allows everything", () => {
    expect(refusal(accessOf([{}]), use())).toBeUndefined();
  });

  test("is limited to pools and tools, by name or by beginning", () => {
    const access = accessOf([{ pools: ["files"], tools: ["dav_list_servers", "dav_pool*"] }]);
    expect(access.allowsTool("dav_list_servers", "files")).toBe(true);
    expect(access.allowsTool("dav_pool_stats", "files")).toBe(true);
    expect(access.allowsTool("dav_list_servers_2", "files")).toBe(false);
    expect(access.allowsTool("dav_list_servers", "archive")).toBe(false);
    expect(refusal(access, use())).toBe('You may not use dav_request in the pool "files".');
    expect(accessOf([{ tools: ["*"] }]).allowsTool("anything", "files")).toBe(true);
  });

  test("to read lets safe calls pass and no others", () => {
    const access = accessOf([{ readOnly: true }]);
    expect(access.allowsTool("dav_request", "files")).toBe(true);
    expect(refusal(access, use({ safe: true }))).toBeUndefined();
    expect(refusal(access, use())).toContain("may only read");
  });

  test("is the union of grants, each of which counts as a whole", () => {
    const access = accessOf([{ readOnly: true }, { pools: ["drafts"], tools: ["dav_request"] }]);
    expect(refusal(access, use({ pool: "drafts" }))).toBeUndefined();
    expect(refusal(access, use())).toContain("may only read");
    expect(refusal(access, use({ pool: "drafts", tool: "dav_add_server" }))).toContain("may only read");
    expect(refusal(access, use({ safe: true }))).toBeUndefined();
  });
});
