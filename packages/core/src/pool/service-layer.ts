import { sameServices } from "../config/compare-configs.ts";
import type { ResolvedConfig } from "../config/resolve-config.ts";
import type { Scope } from "../plugin/scope.ts";
import { Shared } from "../plugin/shared.ts";
import { SECURITY } from "../plugin/tokens.ts";
import { contextFor, createPart } from "./create-part.ts";

/** What lies below the pools of a configuration: its service plugins and its rules. Pools and parts of them share it. */
export class ServiceLayer {
  readonly scope: Scope;
  readonly #config: ResolvedConfig;
  readonly #shared: Shared<Scope>;

  constructor(root: Scope, config: ResolvedConfig) {
    this.scope = root.child();
    this.#config = config;
    this.#shared = new Shared(this.scope);
    this.scope.provide(SECURITY, config.security);
  }

  /** Keeps it open until the lease is disposed of. */
  lease(): AsyncDisposable {
    return this.#shared.lease();
  }

  /** Whether another configuration needs nothing else. */
  serves(config: ResolvedConfig): boolean {
    return sameServices(this.#config, config);
  }

  /** Whether one of its services goes by this token. */
  offers(token: symbol): boolean {
    return this.#config.services.some((use) => use.plugin.provides === token);
  }

  async start(signal: AbortSignal): Promise<void> {
    const context = contextFor(this.scope, this.#config);
    for (const use of this.#config.services) await createPart(this.scope, use, context, signal, use.plugin.provides);
  }
}
