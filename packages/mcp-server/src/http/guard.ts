import type { IncomingMessage } from "node:http";
import { validateHostHeader } from "@modelcontextprotocol/server";
import type { IdentitySettings } from "../identity/index.ts";
import type { HttpSettings } from "./section.ts";

/** A name or an address, and a port. What else an address may hold must not get into one that is made from it. */
const HOST = /^(?:[\w.-]+|\[[\da-f:.]+\])(?::\d{1,5})?$/i;
/** Headers of 2026-07-28 that repeat arguments of tools. */
const MIRRORED = /^mcp-param-[!#$%&'*+.^_`|~\w-]{1,128}$/i;
const OWN_HOSTS = ["localhost", "127.0.0.1", "[::1]"];

/** True for an address that only this machine reaches. */
export function isLoopbackHost(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(?:\.\d{1,3}){3}$/.test(host);
}

/**
 * Keeps out requests that a web page makes in the name of whoever looks at it: those that are addressed to another name
 * than this server's (DNS rebinding), and those of pages that are not allowed (CORS).
 */
export class Guard {
  readonly #hosts: readonly string[] | undefined;
  readonly #origins: ReadonlySet<string>;
  readonly #local: boolean;

  constructor({ host, publicUrl, allowedHosts, allowedOrigins }: HttpSettings, identity: IdentitySettings | undefined) {
    const named = [...(allowedHosts ?? []), ...(publicUrl === undefined ? [] : [new URL(publicUrl).hostname])];
    this.#local = isLoopbackHost(host);
    // Who must show a token is not in danger: a page that does not know it cannot send it.
    // But where tokens are issued for whatever the request is addressed to, any name would make any token good.
    const authenticated = identity !== undefined && (!identity.oauth || identity.oauth.audience !== undefined);
    const any = !this.#local && named.length === 0 && authenticated;
    this.#hosts = any ? undefined : [...OWN_HOSTS, ...(this.#local ? [] : [bracketed(host)]), ...named];
    this.#origins = new Set((allowedOrigins ?? []).map((origin) => origin.replace(/\/$/, "").toLowerCase()));
  }

  /** Why a request is not let in; undefined when it is. */
  refuses({ headers }: IncomingMessage): string | undefined {
    if (headers.host !== undefined && !HOST.test(headers.host)) return "The Host header is no host and port.";
    if (this.#hosts) {
      const host = validateHostHeader(headers.host, [...this.#hosts]);
      if (!host.ok) return "The Host header does not name this server; see http.allowedHosts.";
    }
    const { origin } = headers;
    if (origin === undefined || this.allowsOrigin(origin)) return undefined;
    return "Web pages of this origin may not ask this server; see http.allowedOrigins.";
  }

  allowsOrigin(origin: string): boolean {
    if (this.#origins.has(origin.toLowerCase())) return true;
    if (!this.#local) return false;
    const url = URL.parse(origin);
    return url !== null && (url.protocol === "http:" || url.protocol === "https:") && OWN_HOSTS.includes(url.hostname);
  }

  /** What a browser must be told before a page may see an answer. */
  corsHeaders(origin: string | undefined): Record<string, string> {
    if (origin === undefined) return {};
    return {
      "access-control-allow-origin": origin,
      "access-control-expose-headers": "Mcp-Session-Id, WWW-Authenticate, Retry-After, X-Request-Id",
      vary: "Origin",
    };
  }

  /** @param requested headers that the page wants to send, of which those that repeat arguments have any name. */
  preflightHeaders(origin: string | undefined, requested = ""): Record<string, string> {
    const mirrored = requested.split(",").flatMap((name) => (MIRRORED.test(name.trim()) ? `, ${name.trim()}` : []));
    return {
      ...this.corsHeaders(origin),
      vary: "Origin, Access-Control-Request-Headers",
      "access-control-allow-methods": "GET, POST, DELETE, OPTIONS",
      "access-control-allow-headers":
        "Authorization, Content-Type, Accept, Mcp-Session-Id, Mcp-Protocol-Version, Mcp-Method, Mcp-Name, Last-Event-ID, X-Request-Id, Traceparent, Tracestate" +
        mirrored.join(""),
      "access-control-max-age": "600",
    };
  }
}

function bracketed(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}
