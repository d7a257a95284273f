import type { Log } from "@davpool/core";
import { DiagLogLevel, diag } from "@opentelemetry/api";
import { ExportResultCode, loggingErrorHandler, setGlobalErrorHandler, type ExportResult } from "@opentelemetry/core";
import type { Signal } from "./settings.ts";

interface Exporter<T> {
  export(items: T, done: (result: ExportResult) => void): void;
}

/** Sentences of the SDK that are passed on, each once; more than these say nothing new. */
const MOST_SENTENCES = 50;

/**
 * What goes wrong with exporting, told to the log in few words: once when the collector does not take what it is sent,
 * once when it does again.
 */
export class ExportReports {
  readonly #log: Log;
  readonly #secrets: readonly string[];
  readonly #failing = new Set<Signal>();
  readonly #told = new Set<string>();

  /** @param secrets what must not get into any sentence. */
  constructor(log: Log, secrets: readonly string[]) {
    this.#log = log;
    this.#secrets = secrets.filter((secret) => secret !== "");
  }

  /** From now on the SDK reports here instead of to the console, which belongs to the protocol. */
  take(): void {
    // What is said beside the sentence may hold anything, and an error may stand in for it.
    const tell = (sentence: unknown) => this.#tell(String(sentence));
    const ignore = () => undefined;
    diag.setLogger(
      { error: tell, warn: tell, info: ignore, debug: ignore, verbose: ignore },
      { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
    );
    // Failed exports end here, every one of them; `watch` has told of them by then.
    setGlobalErrorHandler(ignore);
  }

  release(): void {
    setGlobalErrorHandler(loggingErrorHandler());
  }

  /** The same exporter, whose results are looked at. */
  watch<T, E extends Exporter<T>>(signal: Signal, exporter: E & Exporter<T>): E {
    const send = exporter.export.bind(exporter);
    exporter.export = (items, done) =>
      send(items, (result) => {
        this.#seen(signal, result);
        done(result);
      });
    return exporter;
  }

  #seen(signal: Signal, { code, error }: ExportResult): void {
    if (code === ExportResultCode.SUCCESS) {
      if (this.#failing.delete(signal) && this.#failing.size === 0)
        this.#log.info("The telemetry collector takes what it is sent again.");
      return;
    }
    if (this.#failing.size === 0)
      this.#log.warn(
        `The telemetry collector does not take ${signal} (${reason(error)}): telemetry is dropped until it does, and nothing else is affected.`,
      );
    this.#failing.add(signal);
  }

  #tell(sentence: string): void {
    if (this.#told.has(sentence) || this.#told.size >= MOST_SENTENCES) return;
    this.#told.add(sentence);
    this.#log.warn(`OpenTelemetry: ${this.#scrub(sentence)}`);
  }

  #scrub(text: string): string {
    // Addresses of collectors may hold a user and a password.
    const scrubbed = text.replaceAll(/\/\/[^\s/@]+@/g, "//[secret]@");
    return this.#secrets.reduce((left, secret) => left.replaceAll(secret, "[secret]"), scrubbed);
  }
}

/** Codes only: messages may repeat what a stranger's server says. */
function reason(error: Error | undefined): string {
  const { code, name } = (error ?? {}) as { readonly code?: unknown; readonly name?: string };
  if (typeof code === "number") return `it answered ${code}`;
  if (typeof code === "string") return code;
  return name === "OTLPExporterError" ? "it is not ready" : "no answer";
}
