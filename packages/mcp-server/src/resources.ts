import type { OpenPools, Pool } from "@davpool/core";
import { ProtocolError, ProtocolErrorCode } from "@modelcontextprotocol/server";
import type { Access } from "./identity/access.ts";
import { serverView } from "./tools/shapes.ts";

const SCHEME = "davpool://pools/";
const TYPE = "application/json";

/** As `resources/list` shows it. */
export interface PoolResource {
  readonly uri: string;
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly mimeType: string;
}

/** Each pool as a resource, `davpool://pools/<name>`: its servers and their health, which clients may subscribe to. */
export class PoolResources {
  readonly #pools: ReadonlyMap<string, Pool>;

  constructor({ pools }: Pick<OpenPools, "pools">) {
    this.#pools = pools;
  }

  list(access: Access): readonly PoolResource[] {
    return [...this.#pools.keys()]
      .filter((name) => access.allowsResource(uriOf(name), name))
      .map((name) => ({
        uri: uriOf(name),
        name,
        title: `Pool ${name}`,
        description: "The servers of the pool, their health, and what was asked of them.",
        mimeType: TYPE,
      }));
  }

  /** @throws ProtocolError when there is no such resource for the caller. */
  read(uri: string, access: Access) {
    const pool = this.#find(uri, access);
    const state = {
      pool: pool.name,
      preferredServerId: pool.preferredServerId ?? null,
      servers: pool.list().map((status) => serverView(status, true)),
      stats: pool.stats(),
    };
    return { contents: [{ uri, mimeType: TYPE, text: JSON.stringify(state) }] };
  }

  has(uri: string, access: Access): boolean {
    const name = uri.startsWith(SCHEME) ? uri.slice(SCHEME.length) : "";
    return this.#pools.has(name) && access.allowsResource(uri, name);
  }

  /** @throws ProtocolError when there is no such resource for the caller. */
  check(uri: string, access: Access): void {
    this.#find(uri, access);
  }

  /** Calls back with the address of each pool whose servers or health change. */
  watch(changed: (uri: string) => void): Disposable {
    const watches = [...this.#pools.values()].flatMap((pool) => {
      const tell = () => changed(uriOf(pool.name));
      const events = [
        "servers-changed",
        "active-changed",
        "server-healthy",
        "server-degraded",
        "server-unhealthy",
      ] as const;
      return events.map((event) => pool.on(event, tell));
    });
    return {
      [Symbol.dispose]() {
        for (const watch of watches) watch[Symbol.dispose]();
      },
    };
  }

  #find(uri: string, access: Access): Pool {
    const name = uri.startsWith(SCHEME) ? uri.slice(SCHEME.length) : "";
    const pool = this.#pools.get(name);
    if (pool && access.allowsResource(uri, name)) return pool;
    const known = this.list(access).map((resource) => resource.uri);
    throw new ProtocolError(
      ProtocolErrorCode.InvalidParams,
      `There is no resource "${uri}". Resources: ${known.join(", ") || "none"}.`,
    );
  }
}

function uriOf(name: string): string {
  return SCHEME + name;
}
