import { DavpoolError, describeError } from "./davpool-error.ts";
import { placeOf } from "./place-of.ts";

/** Whose fault it is: the plugin, and the pool that its part was for; an empty name for a service, which all share. */
export interface PluginPlace {
  readonly kind: string;
  readonly name: string;
  readonly pool: string;
}

/** `PLUGIN_FAILED`: a plugin threw, or did what its contract rules out, so that nothing can be opened with it. */
export class PluginFailedError extends DavpoolError {
  /** @param what it did, as the end of a sentence that begins with the plugin. */
  constructor(place: PluginPlace, what: string, options: { readonly cause?: unknown } = {}) {
    super(
      "PLUGIN_FAILED",
      `The ${describePlugin(place)} ${what}. Look at its options and at what it needs, or take it out of the configuration.`,
      {
        details: { ...place },
        ...options,
      },
    );
  }
}

/** `SERVICE_MISSING`: a plugin asks for a service that nobody provides. */
export class ServiceMissingError extends DavpoolError {
  readonly service: string;

  constructor(service: string, place?: PluginPlace) {
    super(
      "SERVICE_MISSING",
      place
        ? `The ${describePlugin(place)} asks for the service "${service}", and no plugin in "plugins" provides it${place.kind === "service" ? " before it is created; services are, in the order of their names" : ""}. List the service plugin that does.`
        : `Nobody provides the service "${service}". List the service plugin that does in "plugins".`,
      { details: { service, ...place } },
    );
    this.service = service;
  }
}

/** `policy plugin "keep" of pool "files"`. */
export function describePlugin({ kind, name, pool }: PluginPlace): string {
  return `${kind} plugin "${name}"${pool === "" ? "" : ` of pool "${pool}"`}`;
}

/** What somebody else's code threw, in one line, with the place in the code where that is known. */
export function describeThrown(error: unknown, among?: ReadonlySet<string>): string {
  const place = placeOf(error, among);
  return `${describeError(error).replace(/\.$/, "")}${place === undefined ? "" : ` (at ${place})`}`;
}
