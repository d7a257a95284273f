import { davRequestTool, type DavRequestOptions, type ToolPool } from "./dav-request.ts";
import { listServersTool, poolStatsTool } from "./inspect-pool.ts";
import { manageServerTools } from "./manage-servers.ts";
import type { Tool } from "./tool.ts";

export interface ToolOptions extends DavRequestOptions {
  /** Tools that add, change, remove and activate servers. */
  readonly management: boolean;
}

/**
 * The tools of the WebDAV pools, in a fixed order. One pool's tools have plain names; with several pools the pool's
 * name stands in front.
 */
export function webDavTools(pools: readonly ToolPool[], options: ToolOptions): readonly Tool[] {
  return pools.flatMap((settings) => {
    const { pool } = settings;
    const prefix = pools.length > 1 ? `${pool.name.replaceAll(".", "-")}__` : "";
    const [add, update, remove, activate] = manageServerTools(pool, prefix) as [Tool, Tool, Tool, Tool];
    return [
      ...(options.management ? [add] : []),
      listServersTool(pool, prefix),
      ...(options.management ? [remove, activate] : []),
      poolStatsTool(pool, prefix),
      davRequestTool(settings, prefix, options),
      ...(options.management ? [update] : []),
    ];
  });
}
