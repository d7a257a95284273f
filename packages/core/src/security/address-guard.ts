import { lookup, type LookupAddress, type LookupAllOptions } from "node:dns";
import { BlockList, isIP, type LookupFunction } from "node:net";
import { ConfigError } from "../errors/config-errors.ts";
import { ForbiddenAddressError } from "../errors/server-errors.ts";

/** Networks that are not the public internet (IANA special-purpose registries). */
const NOT_PUBLIC: readonly (readonly [string, number, "ipv4" | "ipv6"])[] = [
  ["0.0.0.0", 8, "ipv4"],
  ["10.0.0.0", 8, "ipv4"],
  ["100.64.0.0", 10, "ipv4"],
  ["127.0.0.0", 8, "ipv4"],
  ["169.254.0.0", 16, "ipv4"],
  ["172.16.0.0", 12, "ipv4"],
  ["192.0.0.0", 24, "ipv4"],
  ["192.0.2.0", 24, "ipv4"],
  ["192.88.99.0", 24, "ipv4"],
  ["192.168.0.0", 16, "ipv4"],
  ["198.18.0.0", 15, "ipv4"],
  ["198.51.100.0", 24, "ipv4"],
  ["203.0.113.0", 24, "ipv4"],
  ["224.0.0.0", 4, "ipv4"],
  ["240.0.0.0", 4, "ipv4"],
  // The unspecified and the loopback address, and the old way to carry an IPv4 address.
  ["::", 96, "ipv6"],
  // Addresses that carry an IPv4 address and reach it through a translator.
  ["64:ff9b::", 96, "ipv6"],
  ["64:ff9b:1::", 48, "ipv6"],
  ["100::", 64, "ipv6"],
  ["2001::", 23, "ipv6"],
  ["2001:db8::", 32, "ipv6"],
  ["2002::", 16, "ipv6"],
  ["3fff::", 20, "ipv6"],
  ["5f00::", 16, "ipv6"],
  ["fc00::", 7, "ipv6"],
  ["fe80::", 10, "ipv6"],
  ["fec0::", 10, "ipv6"],
  ["ff00::", 8, "ipv6"],
];

const notPublic = new BlockList();
for (const [network, prefix, family] of NOT_PUBLIC) notPublic.addSubnet(network, prefix, family);

const REMEDY = "Ask the operator to declare this server, or to name its host in security.allowHosts.";

/** All addresses of a name, as `lookup` of `node:dns` gives them. */
export type Resolve = (
  hostname: string,
  options: LookupAllOptions,
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

/**
 * Keeps servers that were added at run time to public addresses, and to what the operator allows beyond them. Checked
 * when a server is added and again at every connection, because a name may come to mean another address.
 */
export class AddressGuard {
  readonly #names = new Set<string>();
  readonly #allowed = new BlockList();
  readonly #resolve: Resolve;

  /**
   * @param allowHosts host names, addresses, or networks such as `10.0.0.0/8`.
   * @throws ConfigError with every entry that is none of these: one that matches nothing would be missed too late.
   */
  constructor(allowHosts: readonly string[], resolve: Resolve = lookup) {
    this.#resolve = resolve;
    const issues = allowHosts.flatMap((entry, index) =>
      this.#allow(entry)
        ? []
        : [
            {
              path: `security.allowHosts[${index}]`,
              message: `"${entry}" is not a host name, an address or a network such as 10.0.0.0/8.`,
            },
          ],
    );
    if (issues.length > 0) throw new ConfigError(undefined, issues);
  }

  /** False when the entry means nothing. */
  #allow(entry: string): boolean {
    const [, network = "", prefix] = /^([^/]+)\/(\d{1,3})$/.exec(entry) ?? [];
    if (prefix !== undefined) {
      const version = isIP(network);
      if (version === 0 || Number(prefix) > (version === 6 ? 128 : 32)) return false;
      this.#allowed.addSubnet(network, Number(prefix), ipFamily(version));
      return true;
    }
    const host = hostIn(entry);
    if (host === undefined) return false;
    const version = isIP(host);
    if (version > 0) this.#allowed.addAddress(host, ipFamily(version));
    else this.#names.add(host);
    return true;
  }

  /**
   * Judges a host before it joins. A name that does not resolve yet passes; it is judged when it is connected to.
   * @throws ForbiddenAddressError
   */
  async admit(url: URL): Promise<void> {
    const host = hostOf(url);
    if (this.#names.has(host)) return;
    const addresses = isIP(host) > 0 ? [{ address: host }] : await this.#addressesOf(host);
    for (const { address } of addresses) this.#assert(address, url.origin);
  }

  /** For connections to an address literal, which no lookup sees. @throws ForbiddenAddressError */
  connecting(url: URL): void {
    const host = hostOf(url);
    if (isIP(host) > 0 && !this.#names.has(host)) this.#assert(host, url.origin);
  }

  /** A lookup for sockets that refuses names that mean a forbidden address. */
  readonly lookup: LookupFunction = (hostname, options, callback) => {
    this.#resolve(hostname, { ...options, all: true }, (error, addresses) => {
      const allowed = this.#names.has(hostname.toLowerCase());
      // With an error there are no addresses at all, whatever the type says.
      const found = error ? [] : addresses;
      const forbidden = allowed ? undefined : found.find(({ address }) => !this.#permits(address));
      const refusal = error ?? (forbidden && this.#refusal(forbidden.address, hostname));
      const [first] = found;
      if (refusal) callback(refusal, []);
      else if (options.all === true || !first) callback(null, addresses);
      else callback(null, first.address, first.family);
    });
  };

  #addressesOf(host: string): Promise<readonly LookupAddress[]> {
    return new Promise((resolve) => this.#resolve(host, { all: true }, (error, found) => resolve(error ? [] : found)));
  }

  #assert(address: string, named: string): void {
    if (!this.#permits(address)) throw this.#refusal(address, named);
  }

  #permits(address: string): boolean {
    const family = ipFamily(isIP(address));
    return this.#allowed.check(address, family) || !notPublic.check(address, family);
  }

  #refusal(address: string, named: string): ForbiddenAddressError {
    const why = named.includes(address)
      ? "it is not a public address"
      : `it means ${address}, which is not a public address`;
    return new ForbiddenAddressError(named, why, REMEDY);
  }
}

/** The host without the brackets of an IPv6 address, as the URL parser normalised it. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[(.*)\]$/, "$1").toLowerCase();
}

/** True for this machine itself. */
export function isLoopback(host: string): boolean {
  return (
    host === "localhost" ||
    host.endsWith(".localhost") ||
    host === "::1" ||
    (isIP(host) === 4 && host.startsWith("127."))
  );
}

/** The host that an entry names and nothing else, in the URL parser's spelling. */
function hostIn(entry: string): string | undefined {
  if (isIP(entry) === 6) return hostOf(new URL(`http://[${entry}]`));
  const url = /[\s/?#@*\\]|:\d*$/.test(entry) ? null : URL.parse(`http://${entry}`);
  return url ? hostOf(url) : undefined;
}

function ipFamily(version: number): "ipv4" | "ipv6" {
  return version === 6 ? "ipv6" : "ipv4";
}
