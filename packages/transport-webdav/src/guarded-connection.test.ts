import type { LookupAddress } from "node:dns";
import { AddressGuard, ForbiddenAddressError } from "@davpool/core";
import { createWebDavServer } from "@davpool/testkit";
import { describe, expect, test } from "vitest";
import { ObservedAttempt } from "./testing/attempt.test-support.ts";
import { connect } from "./testing/connect.test-support.ts";

type Resolve = ConstructorParameters<typeof AddressGuard>[1] & {};

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

describe("connecting", () => {
  function lookedUp(guard: AddressGuard, name: string, all: boolean): Promise<unknown> {
    return new Promise((resolve, reject) =>
      guard.lookup(name, { all }, (error, address, family) => (error ? reject(error) : resolve([address, family]))),
    );
  }

  test("a lookup gives one address or all, as a socket asks", async () => {
    const guard = new AddressGuard([], names({ "a.example": ["1.1.1.1", "2606:4700::1"] }));
    expect(await lookedUp(guard, "a.example", false)).toEqual(["1.1.1.1", 4]);
    expect(await lookedUp(guard, "a.example", true)).toEqual([
      [
        { address: "1.1.1.1", family: 4 },
        { address: "2606:4700::1", family: 6 },
      ],
      undefined,
    ]);
    await expect(lookedUp(guard, "b.example", true)).rejects.toMatchObject({ code: "ENOTFOUND" });
  });

  test("a name that has come to mean a private address is refused, and nothing is sent", async () => {
    await using server = await createWebDavServer();
    const addresses = ["93.184.216.34", "127.0.0.1"];
    const guard = new AddressGuard([], (_name, _options, callback) =>
      callback(null, [{ address: addresses.shift() ?? "127.0.0.1", family: 4 }]),
    );
    const url = server.url.replace("127.0.0.1", "rebinding.example");
    await guard.admit(new URL(url));
    const attempt = new ObservedAttempt();
    await using connection = connect(url, { guard, init: { origin: "added" } });
    await expect(connection.send({ method: "GET", path: "/" }, attempt)).rejects.toThrow(
      /rebinding\.example is refused: it means 127\.0\.0\.1/,
    );
    expect(attempt.wasSent).toBe(0);
    expect(server.connectionsAccepted).toBe(0);
  });

  test("a name that the operator allows connects whatever it means", async () => {
    await using server = await createWebDavServer();
    const guard = new AddressGuard(["nas.example"], names({ "nas.example": ["127.0.0.1"] }));
    const url = server.url.replace("127.0.0.1", "nas.example");
    await using connection = connect(url, { guard, init: { origin: "added" } });
    const { status, body } = await connection.send({ method: "PROPFIND", path: "/" }, new ObservedAttempt());
    body.discard();
    expect(status).toBe(207);
  });

  test("an address literal is judged although no lookup sees it", async () => {
    await using server = await createWebDavServer();
    expect(() => connect(server.url, { init: { origin: "added" } })).toThrow(ForbiddenAddressError);
    await connect(server.url, { init: { origin: "declared" } })[Symbol.asyncDispose]();
  });
});
