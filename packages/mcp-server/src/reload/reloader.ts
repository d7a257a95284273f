import { isDeepStrictEqual } from "node:util";
import {
  describeError,
  filesOf,
  isDavpoolError,
  type Clock,
  type Log,
  type OpenPools,
  type PoolChanges,
  type ResolvedConfig,
} from "@davpool/core";
import { readConfiguration, type ConfigurationSource } from "../configuration.ts";
import { describeChanges, isNothing } from "./describe-changes.ts";
import { watchFiles, type FileWatch } from "./watch-files.ts";

/** What a new configuration changes, for whoever hosts the pools. */
export interface AppliedChanges extends PoolChanges {
  /** Top-level keys, such as `tools` or `security`, that say something else than what is in force. */
  readonly sections: readonly string[];
}

export interface ReloaderParts {
  readonly source: ConfigurationSource;
  readonly open: OpenPools;
  readonly log: Log;
  readonly clock: Clock;
  /** Looks at a configuration before anything changes. @throws ConfigError to refuse it. */
  readonly accepts?: (config: ResolvedConfig) => void;
  /**
   * Told of each configuration that changes anything, when the pools have gone over to it.
   * @returns those of `changes.sections` that it has put into force as well; the others wait for a restart.
   */
  readonly applied?: (
    config: ResolvedConfig,
    changes: AppliedChanges,
  ) => Promise<readonly string[] | void> | readonly string[] | void;
}

export type ReloadResult =
  | { readonly outcome: "applied"; readonly changes: AppliedChanges }
  | { readonly outcome: "unchanged" }
  /** The configuration that was in use is still in use. */
  | { readonly outcome: "refused"; readonly error: unknown };

/** Reads the configuration anew and has the pools go over to it, or tells why not and leaves everything as it is. */
export class Reloader {
  readonly #parts: ReloaderParts;
  /** What the sections say that are in force: the host took them up when it started, or later. */
  readonly #sections: Map<string, unknown>;
  readonly #watches = new Set<FileWatch>();
  #running: Promise<ReloadResult> | undefined;
  #next: { readonly reasons: Set<string>; readonly result: Promise<ReloadResult> } | undefined;

  /** The sections of the configuration that the pools have now count as in force. */
  constructor(parts: ReloaderParts) {
    this.#parts = parts;
    this.#sections = sectionsOf(parts.open.config);
  }

  /**
   * Reads what the file says now. What is asked for while another reading runs is done once, after it: the file may
   * have changed in the meantime. Never rejects.
   * @param reason for the log: `SIGHUP`.
   */
  reload(reason: string): Promise<ReloadResult> {
    if (!this.#running) {
      this.#running = this.#reload(reason).finally(() => (this.#running = undefined));
      return this.#running;
    }
    if (!this.#next) {
      const reasons = new Set<string>();
      const again = () => {
        this.#next = undefined;
        return this.reload([...reasons].join(", "));
      };
      this.#next = { reasons, result: this.#running.then(again) };
    }
    this.#next.reasons.add(reason);
    return this.#next.result;
  }

  /**
   * Reloads when the configuration file changes from now on, or one that it imports by relative path, until it is
   * disposed of.
   */
  watch(): Disposable {
    const { open, log, clock } = this.#parts;
    const { file } = open.config;
    if (file === undefined) {
      log.warn("There is no configuration file to watch; the environment is read at the start.");
      return { [Symbol.dispose]() {} };
    }
    const watch = watchFiles(
      () => filesOf(file),
      { clock, log },
      () => void this.reload("the file changed"),
    );
    this.#watches.add(watch);
    return {
      [Symbol.dispose]: () => {
        this.#watches.delete(watch);
        watch[Symbol.dispose]();
      },
    };
  }

  async #reload(reason: string): Promise<ReloadResult> {
    const { open, log, source } = this.#parts;
    // One that was found by looking around is not given up for another place when it is away for a moment.
    const file = open.config.file ?? source.file;
    let config: ResolvedConfig;
    let pools: PoolChanges;
    try {
      config = await readConfiguration({ ...source, file });
      this.#parts.accepts?.(config);
      pools = await open.apply(config);
    } catch (error) {
      const message = isDavpoolError(error) ? error.message : describeError(error);
      log.error(`The configuration was not reloaded (${reason}), and the one in use stays. ${message}`, {
        config: file,
        reason,
      });
      return { outcome: "refused", error };
    } finally {
      for (const watch of this.#watches) watch.refresh();
    }
    const changes = { ...pools, sections: this.#changedSections(config) };
    if (isNothing(changes)) {
      log.info(`The configuration was reloaded (${reason}): nothing has changed.`, { config: config.file, reason });
      return { outcome: "unchanged" };
    }
    log.info(`The configuration was reloaded (${reason}): ${describeChanges(changes)}.`, {
      config: config.file,
      reason,
    });
    await this.#tell(config, changes);
    return { outcome: "applied", changes };
  }

  async #tell(config: ResolvedConfig, changes: AppliedChanges): Promise<void> {
    const { log, applied } = this.#parts;
    const sections = sectionsOf(config);
    try {
      for (const section of (await applied?.(config, changes)) ?? [])
        this.#sections.set(section, sections.get(section));
    } catch (error) {
      log.error(
        `The pools have the new configuration, and the server around them failed to follow: ${describeError(error)}`,
      );
    }
    const waiting = this.#changedSections(config);
    if (waiting.length > 0) log.warn(`What changed in ${waiting.join(", ")} applies after a restart.`, { waiting });
  }

  #changedSections(config: ResolvedConfig): readonly string[] {
    return [...sectionsOf(config)].flatMap(([key, value]) =>
      isDeepStrictEqual(value, this.#sections.get(key)) ? [] : [key],
    );
  }
}

/** What the pools do not take up themselves. */
function sectionsOf({ sections, security }: ResolvedConfig): Map<string, unknown> {
  const { managementTools, requestHeaders, responseHeaders } = security;
  const own = { managementTools, requestHeaders, responseHeaders };
  return new Map<string, unknown>([["security", own], ...Object.entries(sections)]);
}
