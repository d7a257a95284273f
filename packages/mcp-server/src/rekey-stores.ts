import { ConfigError, type ResolvedConfig } from "@davpool/core";
import { rekey, storePath } from "@davpool/store-file";

/**
 * Encrypts the store files of a configuration anew, with the first of the keys in `DAVPOOL_SECRET_KEY`.
 * @returns what was done, a line for each file.
 * @throws ConfigError where no pool keeps its servers in a file; StoreError for what cannot be encrypted anew.
 */
export async function rekeyStores({ pools, baseDirectory, file: configFile }: ResolvedConfig): Promise<string[]> {
  const files = new Set(
    pools.flatMap(({ store: { plugin, options } }) =>
      plugin.name === "file" ? storePath(baseDirectory, process.env, (options as { readonly path?: string }).path) : [],
    ),
  );
  if (files.size === 0)
    throw new ConfigError(configFile, [
      { path: "store", message: "keeps nothing in a file, so there is no key to change." },
    ]);
  const lines: string[] = [];
  for (const file of files)
    lines.push(
      (await rekey({ file, secretKey: process.env.DAVPOOL_SECRET_KEY }))
        ? `${file} is encrypted with the first key now. Once every process has it, the other keys can go.`
        : `${file} holds nothing encrypted.`,
    );
  return lines;
}
