import { describe, expect, test } from "vitest";
import { FileTree } from "./tree.ts";

describe("a file tree", () => {
  test("makes the collections above a file that is written", () => {
    const tree = new FileTree();
    tree.write("/a/b/file.txt", "text");
    expect(tree.readText("/a/b/file.txt")).toBe("text");
    expect(tree.list("/")).toEqual(["a/"]);
    expect(tree.paths()).toEqual(["/", "/a", "/a/b", "/a/b/file.txt"]);
  });

  test("does not care about leading, trailing and double slashes", () => {
    const tree = new FileTree();
    tree.write("a//b", "text");
    expect(tree.exists("/a/b/")).toBe(true);
    expect(tree.get("a")?.kind).toBe("collection");
  });

  test("gives a new ETag with each write, and never the one of another tree", () => {
    const [one, other] = [new FileTree(), new FileTree()];
    const etags = [one.write("/f", "same"), one.write("/f", "same"), other.write("/f", "same")].map(({ etag }) => etag);
    expect(new Set(etags).size).toBe(3);
    expect(etags[0]).toMatch(/^"[^"]+"$/);
  });

  test("keeps its content when the caller's buffer changes afterwards", () => {
    const tree = new FileTree();
    const bytes = new Uint8Array([1, 2, 3]);
    tree.write("/f", bytes);
    bytes[0] = 9;
    expect([...tree.read("/f")]).toEqual([1, 2, 3]);
  });

  test("hands out a file as it is at that moment", () => {
    const tree = new FileTree();
    tree.write("/f", "old");
    const before = tree.require("/f");
    tree.write("/f", "new");
    expect(before).toMatchObject({ content: new TextEncoder().encode("old") });
  });

  test("knows common content types by extension", () => {
    const tree = new FileTree();
    expect(tree.write("/a.JSON", "{}").contentType).toBe("application/json");
    expect(tree.write("/a.b/noextension", "").contentType).toBe("application/octet-stream");
    expect(tree.write("/a.txt", "", { contentType: "text/x-log" }).contentType).toBe("text/x-log");
  });

  test("copies deeply with new ETags, and moves with the old ones", () => {
    const tree = new FileTree();
    const { etag } = tree.write("/a/f", "text");
    tree.changeProperties("/a/f", [{ namespace: "urn:x", name: "p", xml: '<p xmlns="urn:x">1</p>' }]);
    tree.copy("/a", "/b");
    tree.move("/a", "/c");
    expect(tree.paths()).toEqual(["/", "/b", "/b/f", "/c", "/c/f"]);
    expect(tree.get("/c/f")).toMatchObject({ etag });
    expect(tree.get("/b/f")).not.toMatchObject({ etag });
    expect([...tree.require("/b/f").properties.keys()]).toEqual(["{urn:x}p"]);
  });

  test("gives a copy properties of its own", () => {
    const tree = new FileTree();
    tree.write("/a", "");
    tree.copy("/a", "/b");
    tree.changeProperties("/b", [{ namespace: "urn:x", name: "p", xml: "<p/>" }]);
    expect(tree.require("/a").properties.size).toBe(0);
  });

  test("copies a collection alone with depth 0", () => {
    const tree = new FileTree();
    tree.write("/a/f", "text");
    tree.copy("/a", "/b", { depth: "0" });
    expect(tree.list("/b")).toEqual([]);
  });

  test("takes its dates from the clock it is given", () => {
    let now = new Date("2026-01-01T00:00:00Z");
    const tree = new FileTree({ now: () => now });
    tree.write("/f", "1");
    now = new Date("2026-01-02T00:00:00Z");
    expect(tree.write("/f", "2")).toMatchObject({
      created: new Date("2026-01-01T00:00:00Z"),
      lastModified: new Date("2026-01-02T00:00:00Z"),
    });
  });

  test("deletes with all members, and empties but keeps the root", () => {
    const tree = new FileTree();
    tree.write("/a/f", "text");
    expect(tree.delete("/a")).toBe(true);
    expect(tree.delete("/a")).toBe(false);
    tree.write("/b", "text");
    tree.clear();
    expect(tree.paths()).toEqual(["/"]);
  });

  test("says what is wrong with a path", () => {
    const tree = new FileTree();
    tree.write("/a/f", "text");
    expect(() => tree.read("/nothing")).toThrow(expect.objectContaining({ code: "missing" }));
    expect(() => tree.read("/a")).toThrow(expect.objectContaining({ code: "is-collection" }));
    expect(() => tree.write("/a", "")).toThrow(expect.objectContaining({ code: "is-collection" }));
    expect(() => tree.list("/a/f")).toThrow(expect.objectContaining({ code: "not-a-collection" }));
    expect(() => tree.write("/a/f/below", "")).toThrow(expect.objectContaining({ code: "not-a-collection" }));
    expect(() => tree.move("/a", "/a/b")).toThrow(expect.objectContaining({ code: "forbidden" }));
    expect(() => tree.copy("/a/f", "/a")).toThrow(expect.objectContaining({ code: "forbidden" }));
    expect(tree.paths("/nothing")).toEqual([]);
  });
});
