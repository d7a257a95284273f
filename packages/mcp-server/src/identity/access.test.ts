import { describe, expect, test } from "vitest";
import { accessOf, fullAccess, memberAccess, refusal, type ToolUse } from "./access.ts";

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

  test("of a grant that names something closes everything else", () => {
    const access = accessOf([{ tools: ["a__*"] }, { resources: ["b+file:///x*", "b+file:///whole"] }, { prompts: [] }]);
    expect(access.allowsTool("a__read", "a")).toBe(true);
    expect(access.allowsTool("b__read", "b")).toBe(false);
    expect(access.allowsPrompt("a__greet", "a")).toBe(false);
    expect(access.allowsResource("davpool://pools/a", "a")).toBe(false);
    expect(access.allowsResource("b+file:///x/y", "b")).toBe(true);
    expect(access.allowsResource("b+file:///whole", "b")).toBe(true);
    expect(access.allowsResource("b+file:///whole/y", "b")).toBe(false);
    expect(access.unlimited).toBe(false);
  });

  test.each(["x/../y", "x/..", "x\\..\\y", "x/%2e%2E/y", "x%2f..%2Fy", "x/./y", "x/..?q"])(
    "to a folder of resources does not lead out of it (%s)",
    (rest) => {
      expect(accessOf([{ resources: ["file:///x*"] }]).allowsResource(`file:///${rest}`, "p")).toBe(false);
      expect(accessOf([{}]).allowsResource(`file:///${rest}`, "p")).toBe(true);
    },
  );

  test("to a template is there where an address that comes out of it may be", () => {
    const access = accessOf([{ resources: ["file:///docs/*", "file:///one"] }]);
    const open = ["file:///{path}", "file:///docs/{name}", "file:///docs/a/{name}", "{any}"];
    expect(open.map((template) => access.allowsTemplate(template, "p"))).toEqual([true, true, true, true]);
    expect(access.allowsTemplate("file:///other/{name}", "p")).toBe(false);
    expect(access.allowsResource("file:///{path}", "p")).toBe(false);
  });

  test("to manage servers is a grant of its own", () => {
    const manage = use({ tool: "dav_add_server", manages: true });
    expect(refusal(fullAccess, manage)).toBeUndefined();
    for (const access of [memberAccess, accessOf([{}]), accessOf([{ tools: ["*"] }])])
      expect(refusal(access, manage)).toBe('You may not change the servers of the pool "files".');
    expect(refusal(accessOf([{ manage: true }]), manage)).toBeUndefined();
    expect(refusal(accessOf([{ manage: true, readOnly: true, tools: ["dav_list*"] }]), manage)).toBeUndefined();
    expect(refusal(accessOf([{ manage: true, pools: ["drafts"] }]), manage)).toContain("no access to the pool");
    expect(refusal(accessOf([{ manage: true, pools: ["drafts"] }, {}]), manage)).toContain("may not change");
  });
});
