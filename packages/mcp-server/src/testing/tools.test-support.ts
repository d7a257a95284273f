import { fullAccess } from "../identity/index.ts";
import { openPools, type OpenPools } from "@davpool/core";
import { readConfiguration } from "../configuration.ts";
import { toolsOf } from "../running.ts";
import type { Tool, ToolAnswer } from "../tools/tool.ts";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { temporaryFolder } from "./davpool-process.test-support.ts";

export interface OpenTools extends AsyncDisposable {
  readonly names: readonly string[];
  readonly pools: OpenPools;
  // oxlint-disable-next-line typescript/no-explicit-any -- tests look into answers of every shape
  call(name: string, parameters: object, signal?: AbortSignal): Promise<ToolAnswer & { readonly value: any }>;
}

/** The tools of a configuration, in this process. */
export async function openTools(config: object): Promise<OpenTools> {
  const folder = await temporaryFolder();
  await writeFile(join(folder.path, "davpool.config.json"), JSON.stringify({ store: "memory", ...config }));
  const resolved = await readConfiguration({ directory: folder.path, environment: {} });
  const pools = await openPools(resolved);
  const tools = new Map(toolsOf(resolved, pools).map((tool): [string, Tool] => [tool.name, tool]));
  return {
    names: [...tools.keys()],
    pools,
    call: (name, parameters, signal = new AbortController().signal) =>
      (tools.get(name) as Tool).run(parameters, { signal, caller: {}, access: fullAccess }),
    async [Symbol.asyncDispose]() {
      await pools[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}
