import { StoreError, type PluginUse, type ProfileStore, type StoredState } from "@davpool/core";

export interface ReadOnlyHooks {
  /** The store behind, once it is there. */
  opened(store: ProfileStore): void;
  /** What was loaded, on its way to the pool. */
  loaded(state: StoredState): StoredState;
}

/** The same store for whoever only looks: what is there is read, and nothing is ever written. */
export function readOnly({ plugin, options }: PluginUse, hooks: ReadOnlyHooks): PluginUse {
  const originals = new WeakMap<ProfileStore, ProfileStore>();
  return {
    options,
    plugin: {
      ...plugin,
      create(context, written) {
        const original = plugin.create(context, written) as ProfileStore;
        const store = withoutWriting(original, hooks);
        originals.set(store, original);
        hooks.opened(original);
        return store;
      },
      ...(plugin.start && {
        start: async (store: ProfileStore, signal: AbortSignal) => plugin.start?.(originals.get(store), signal),
      }),
    },
  };
}

function withoutWriting(store: ProfileStore, hooks: ReadOnlyHooks): ProfileStore {
  return {
    load: async () => hooks.loaded(await store.load()),
    update: () =>
      Promise.reject(new StoreError("STORE_UNWRITABLE", "Nothing can be changed here: the pool is only looked at.")),
    loadHealth: () => store.loadHealth(),
    // What a look finds out is no business of those that run.
    updateHealth: () => Promise.resolve(),
    ...(store.watch && { watch: (changed) => store.watch?.(changed) as Disposable }),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}
