import type { LookupAddress } from "node:dns";
import { describe, expect, test } from "vitest";
import { ConfigError } from "../errors/config-errors.ts";
import { ForbiddenAddressError } from "../errors/server-errors.ts";
import { AddressGuard, hostOf, isLoopback, type Resolve } from "./address-guard.ts";

const unknown: Resolve = (_name, _options, callback) =>
  callback(Object.assign(new Error("unknown"), { code: "ENOTFOUND" }), undefined as never);

function names(table: Record<string, readonly string[]>): Resolve {
  return (name, options, callback) => {
    const found = (table[name] ?? []).map((address): LookupAddress => ({
      address,
      family: address.includes(":") ? 6 : 4,
    }));
    if (found.length > 0) callback(null, found);
    else unknown(name, options, callback);
  };
}

function admit(url: string, allowHosts: readonly string[] = [], resolve: Resolve = unknown): Promise<void> {
  return new AddressGuard(allowHosts, resolve).admit(new URL(url));
}

describe("an address literal", () => {
  test.each([
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f.1",
    "017700000001",
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "[::]",
    "[::1]",
    "[::7f00:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:a00:1]",
    "[::ffff:169.254.169.254]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::1]",
    "[100::1]",
    "[2001::1]",
    "[2001:db8::1]",
    "[2002:7f00:1::]",
    "[2002:c0a8:101::1]",
    "[3fff::1]",
    "[5f00::1]",
    "[fc00::1]",
    "[fd12:3456::1]",
    "[fe80::1]",
    "[fec0::1]",
    "[ff02::1]",
  ])("%s is refused", async (host) => {
    await expect(admit(`http://${host}/dav/`)).rejects.toThrow(ForbiddenAddressError);
    expect(() => new AddressGuard([]).connecting(new URL(`http://${host}/`))).toThrow(/not a public address/);
  });

  test.each([
    "1.1.1.1",
    "8.8.8.8",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.255.255",
    "172.32.0.1",
    "192.169.0.1",
    "198.20.0.1",
    "223.255.255.255",
    "[2606:4700::1111]",
    "[2a00:1450::1]",
    "[::ffff:8.8.8.8]",
  ])("%s is accepted", async (host) => {
    await expect(admit(`https://${host}/`)).resolves.toBeUndefined();
    expect(() => new AddressGuard([]).connecting(new URL(`https://${host}/`))).not.toThrow();
  });
});

describe("a name", () => {
  const resolve = names({
    "public.example": ["93.184.216.34", "2606:4700::1111"],
    "private.example": ["10.1.2.3"],
    "mixed.example": ["93.184.216.34", "::ffff:7f00:1"],
    localhost: ["127.0.0.1", "::1"],
  });

  test.each(["public.example", "not-there.example"])("%s is accepted", async (name) => {
    await expect(admit(`https://${name}/`, [], resolve)).resolves.toBeUndefined();
  });

  test.each([
    ["private.example", "10.1.2.3"],
    ["mixed.example", "::ffff:7f00:1"],
    ["localhost", "127.0.0.1"],
    ["LOCALHOST", "127.0.0.1"],
  ])("%s is refused for %s", async (name, address) => {
    await expect(admit(`https://${name}/`, [], resolve)).rejects.toThrow(
      `it means ${address}, which is not a public address`,
    );
  });

  test("is looked up by the system where nothing else is said", async () => {
    await expect(new AddressGuard([]).admit(new URL("http://localhost:1/"))).rejects.toThrow(ForbiddenAddressError);
  });

  test("is not looked up for an address literal's sake when connecting", () => {
    expect(() => new AddressGuard([]).connecting(new URL("http://localhost/"))).not.toThrow();
  });
});

describe("allowHosts", () => {
  const resolve = names({
    "nas.example": ["192.168.1.5"],
    "other.example": ["192.168.1.6"],
    "xn--bcher-kva.example": ["10.9.9.9"],
  });

  test.each<[string, string]>([
    ["nas.example", "http://nas.example:8080/"],
    ["NAS.example", "http://nas.EXAMPLE/"],
    ["bücher.example", "http://bücher.example/"],
    ["192.168.1.5", "http://nas.example/"],
    ["192.168.1.5", "http://192.168.1.5/"],
    ["192.168.0.0/16", "http://other.example/"],
    ["127.1", "http://127.0.0.1/"],
    ["::1", "http://[::1]/"],
    ["[::1]", "http://[::1]/"],
    ["fd00::/8", "http://[fd12::1]/"],
    ["0.0.0.0/0", "http://10.1.1.1/"],
    ["10.0.0.0/8", "http://[::ffff:10.1.1.1]/"],
  ])("%s allows %s", async (entry, url) => {
    await expect(admit(url, [entry], resolve)).resolves.toBeUndefined();
    expect(() => new AddressGuard([entry]).connecting(new URL(url.replace("nas.example", "192.168.1.5")))).not.toThrow(
      TypeError,
    );
  });

  test.each<[string, string]>([
    ["nas.example", "http://other.example/"],
    ["nas.example", "http://192.168.1.5/"],
    ["example", "http://nas.example/"],
    ["192.168.1.5", "http://192.168.1.6/"],
    ["192.168.1.0/30", "http://nas.example/"],
    ["::1", "http://127.0.0.1/"],
  ])("%s does not allow %s", async (entry, url) => {
    await expect(admit(url, [entry], resolve)).rejects.toThrow(ForbiddenAddressError);
  });

  test.each([
    "",
    " ",
    "10.0.0.0/",
    "10.0.0.0/33",
    "10.0.0.0/x",
    "10.0.0.0/8/8",
    "::/129",
    "nas.example/8",
    "*.example",
    "http://nas.example",
    "nas.example:8080",
    "nas.example:",
    "user@nas.example",
    "nas example",
    "300.1.1.1",
    "a\\b",
    "nas.example?x",
  ])("%j is refused at once", (entry) => {
    expect(() => new AddressGuard(["ok.example", entry])).toThrow(ConfigError);
    expect(() => new AddressGuard(["ok.example", entry])).toThrow(/security\.allowHosts\[1\]: .*is not a host name/);
  });

  test("all that is wrong is told at once", () => {
    expect(() => new AddressGuard(["a b", "c", "d/e"])).toThrow(/2 problems/);
  });
});

test("a host is named without brackets and in lower case", () => {
  expect(hostOf(new URL("http://[FE80::1]:8080/"))).toBe("fe80::1");
  expect(hostOf(new URL("http://NAS.Example/"))).toBe("nas.example");
});

test.each([
  ["localhost", true],
  ["a.localhost", true],
  ["127.0.0.1", true],
  ["127.9.9.9", true],
  ["::1", true],
  ["127.evil.example", false],
  ["notlocalhost", false],
  ["10.0.0.1", false],
])("%s is this machine: %s", (host, loopback) => {
  expect(isLoopback(host)).toBe(loopback);
});
