import { randomBytes } from "node:crypto";
import { normalizePath, parentOf, segmentsOf, joinPath, isBelow } from "./paths.ts";

/** A property that a client has set with PROPPATCH. */
export interface DeadProperty {
  readonly namespace: string;
  readonly name: string;
  /** The whole element, serialized with its namespaces. */
  readonly xml: string;
}

interface ResourceFields {
  readonly created: Date;
  readonly lastModified: Date;
  /** Dead properties by `{namespace}name`. */
  readonly properties: ReadonlyMap<string, DeadProperty>;
}

export interface FileResource extends ResourceFields {
  readonly kind: "file";
  readonly content: Uint8Array;
  readonly contentType: string;
  /** Strong, quoted, new with each write, and never the same in two trees. */
  readonly etag: string;
}

export interface CollectionResource extends ResourceFields {
  readonly kind: "collection";
}

export type Resource = FileResource | CollectionResource;

export interface WriteOptions {
  /** Default: by the file's extension for text, HTML, JSON and XML, else `application/octet-stream`. */
  readonly contentType?: string;
}

export type TreeErrorCode = "missing" | "is-collection" | "not-a-collection" | "forbidden";

/** What a {@link FileTree} throws when a path does not allow what was asked. */
export class TreeError extends Error {
  override readonly name = "TreeError";
  readonly code: TreeErrorCode;

  constructor(code: TreeErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type Properties = { properties: Map<string, DeadProperty> };
type FileNode = Mutable<FileResource> & Properties;
type CollectionNode = Mutable<CollectionResource> & Properties & { readonly children: Map<string, Node> };
type Node = FileNode | CollectionNode;

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  txt: "text/plain; charset=utf-8",
  md: "text/markdown; charset=utf-8",
  html: "text/html; charset=utf-8",
  json: "application/json",
  xml: "application/xml",
};

/**
 * An in-memory file store: what a {@link WebDavServer} serves, and what a test looks into.
 *
 * Paths are decoded (`/with space/é.txt`) and relative to the server's base; a leading or trailing slash makes no
 * difference. Every change is atomic: a reader sees the content before it or after it.
 * Trees know nothing of locks: writing here succeeds even where a WebDAV client would get 423.
 */
export class FileTree {
  readonly #root: CollectionNode;
  readonly #now: () => Date;
  /** Part of each ETag, so that one server's ETag never fits another server's tree by accident. */
  readonly #id = randomBytes(4).toString("hex");
  #version = 0;

  /** `now` gives the dates of creation and modification; default the wall clock. */
  constructor(options: { readonly now?: () => Date } = {}) {
    this.#now = options.now ?? (() => new Date());
    this.#root = this.#newCollection();
  }

  /** The resource at `path`, or undefined. A file's fields are those of this moment and do not follow later writes. */
  get(path: string): Resource | undefined {
    const node = this.#find(path);
    return node?.kind === "file" ? { ...node } : node;
  }

  /** The resource at `path`. Throws {@link TreeError} (`missing`). */
  require(path: string): Resource {
    const resource = this.get(path);
    if (resource === undefined) throw new TreeError("missing", `nothing at ${normalizePath(path)}`);
    return resource;
  }

  exists(path: string): boolean {
    return this.#find(path) !== undefined;
  }

  /** The content of a file. Throws {@link TreeError} (`missing`, `is-collection`). */
  read(path: string): Uint8Array {
    const node = this.#require(path);
    if (node.kind === "collection") throw new TreeError("is-collection", `${normalizePath(path)} is a collection`);
    return node.content;
  }

  /** The content of a file, decoded as UTF-8. Throws as {@link FileTree.read} does. */
  readText(path: string): string {
    return new TextDecoder().decode(this.read(path));
  }

  /**
   * Creates or replaces a file, and the collections above it where they are missing. A replaced file keeps its dead
   * properties and its creation date. Throws {@link TreeError} (`is-collection`, `not-a-collection`).
   */
  write(path: string, content: string | Uint8Array, options: WriteOptions = {}): FileResource {
    const at = normalizePath(path);
    const old = this.#find(at);
    if (old?.kind === "collection") throw new TreeError("is-collection", `${at} is a collection`);
    const now = this.#now();
    const file: FileNode = {
      kind: "file",
      content: typeof content === "string" ? new TextEncoder().encode(content) : content.slice(),
      contentType: options.contentType ?? contentTypeOf(at),
      etag: this.#newEtag(),
      created: old?.created ?? now,
      lastModified: now,
      properties: old?.properties ?? new Map(),
    };
    this.#attach(at, file);
    return { ...file };
  }

  /** Creates a collection and those above it where they are missing; an existing one is left as it is. */
  makeCollection(path: string): void {
    this.#collectionAt(path);
  }

  #collectionAt(path: string): CollectionNode {
    let at = this.#root;
    for (const segment of segmentsOf(path)) {
      const child = at.children.get(segment);
      if (child?.kind === "file") throw new TreeError("not-a-collection", `${segment} in ${path} is a file`);
      if (child !== undefined) {
        at = child;
        continue;
      }
      const made = this.#newCollection();
      at.children.set(segment, made);
      at.lastModified = this.#now();
      at = made;
    }
    return at;
  }

  /** Sorted names of the members of a collection; member collections end with `/`. Throws {@link TreeError}. */
  list(path = "/"): string[] {
    const node = this.#require(path);
    if (node.kind === "file") throw new TreeError("not-a-collection", `${normalizePath(path)} is a file`);
    return [...node.children].map(([name, child]) => (child.kind === "file" ? name : `${name}/`)).toSorted();
  }

  /** Every path at or below `path`, parents before their members; empty where nothing is. */
  paths(path = "/"): string[] {
    const start = normalizePath(path);
    const found: string[] = [];
    const visit = (at: string, node: Node): void => {
      found.push(at);
      if (node.kind === "file") return;
      for (const [name, child] of node.children) visit(joinPath(at, name), child);
    };
    const node = this.#find(start);
    if (node !== undefined) visit(start, node);
    return found;
  }

  /** Removes a file or a collection with all its members; false when there was nothing. The root can only be emptied. */
  delete(path: string): boolean {
    const at = normalizePath(path);
    if (at === "/") {
      this.#root.children.clear();
      return true;
    }
    const parent = this.#find(parentOf(at));
    if (parent?.kind !== "collection" || !parent.children.delete(nameOf(at))) return false;
    parent.lastModified = this.#now();
    return true;
  }

  /** Empties the tree. */
  clear(): void {
    this.delete("/");
  }

  /**
   * Copies a resource with its dead properties, replacing what was there. Copied files get new ETags.
   * `depth: "0"` copies a collection without its members. Throws {@link TreeError} (`missing`, `forbidden` when one
   * path contains the other).
   */
  copy(from: string, to: string, options: { readonly depth?: "0" | "infinity" } = {}): void {
    const source = this.#require(from);
    this.#refuseOverlap(from, to);
    this.#attach(normalizePath(to), this.#clone(source, options.depth !== "0"));
  }

  /** Moves a resource, replacing what was there. ETags and dates move along. Throws as {@link FileTree.copy} does. */
  move(from: string, to: string): void {
    const source = this.#require(from);
    this.#refuseOverlap(from, to);
    this.#attach(normalizePath(to), source);
    this.delete(from);
  }

  /** Sets dead properties, and removes those given by name alone. Throws {@link TreeError} (`missing`). */
  changeProperties(
    path: string,
    changes: readonly (DeadProperty | { readonly namespace: string; readonly name: string })[],
  ): void {
    const { properties } = this.#require(path);
    for (const change of changes) {
      const key = propertyKey(change);
      if ("xml" in change) properties.set(key, change);
      else properties.delete(key);
    }
  }

  #find(path: string): Node | undefined {
    let at: Node | undefined = this.#root;
    for (const segment of segmentsOf(path)) {
      if (at?.kind !== "collection") return undefined;
      at = at.children.get(segment);
    }
    return at;
  }

  #require(path: string): Node {
    const node = this.#find(path);
    if (node === undefined) throw new TreeError("missing", `nothing at ${normalizePath(path)}`);
    return node;
  }

  #attach(path: string, node: Node): void {
    const parent = this.#collectionAt(parentOf(path));
    parent.children.set(nameOf(path), node);
    parent.lastModified = this.#now();
  }

  #refuseOverlap(from: string, to: string): void {
    const [source, target] = [normalizePath(from), normalizePath(to)];
    if (source === target || isBelow(source, target) || isBelow(target, source)) {
      throw new TreeError("forbidden", `${source} and ${target} contain one another`);
    }
  }

  #clone(node: Node, deep: boolean): Node {
    const fields = { created: this.#now(), properties: new Map(node.properties) };
    if (node.kind === "file") return { ...node, ...fields, etag: this.#newEtag(), lastModified: this.#now() };
    const children = new Map<string, Node>();
    if (deep) for (const [name, child] of node.children) children.set(name, this.#clone(child, true));
    return { ...node, ...fields, children, lastModified: this.#now() };
  }

  #newCollection(): CollectionNode {
    const now = this.#now();
    return { kind: "collection", created: now, lastModified: now, properties: new Map(), children: new Map() };
  }

  #newEtag(): string {
    this.#version += 1;
    return `"${this.#id}-${this.#version.toString(36)}"`;
  }
}

/** The key of a property in {@link Resource}'s `properties`. */
export function propertyKey(property: { readonly namespace: string; readonly name: string }): string {
  return `{${property.namespace}}${property.name}`;
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

function contentTypeOf(path: string): string {
  const extension = /\.([^./]+)$/.exec(path)?.[1]?.toLowerCase() ?? "";
  return CONTENT_TYPES[extension] ?? "application/octet-stream";
}
