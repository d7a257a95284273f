import {
  ForbiddenAddressError,
  InvalidProfileError,
  type Credentials,
  type ServerOrigin,
  systemClock,
} from "@davpool/core";
import { describe, expect, test } from "vitest";
import { profileOf, SETTINGS } from "./testing/connect.test-support.ts";
import { webDavTransport } from "./transport.ts";
import type { WebDavProfile } from "./wire.ts";

function admit(
  url: string,
  origin: ServerOrigin,
  fields: Partial<WebDavProfile> = {},
  security: { allowHosts?: string[]; allowCleartext?: boolean } = {},
): Promise<readonly string[]> {
  const transport = webDavTransport(SETTINGS, { allowHosts: [], allowCleartext: false, ...security }, systemClock);
  return Promise.resolve(transport.admit?.(profileOf(url, fields), origin) ?? []);
}

const password = { username: "alice", password: "secret" };

describe("both declared and added", () => {
  test.each<ServerOrigin>(["declared", "added"])("a server that is %s needs a web address", async (origin) => {
    for (const url of ["file:///etc", "ftp://a.example/", "dav.example.com", "", "javascript:1", "mailto:a@b"])
      await expect(admit(url, origin)).rejects.toThrow(ForbiddenAddressError);
  });

  test.each<ServerOrigin>(["declared", "added"])("a server that is %s has no extras in its URL", async (origin) => {
    for (const url of ["https://1.1.1.1/?a=b", "https://1.1.1.1/#x", "https://u:p@1.1.1.1/", "https://u@1.1.1.1/"])
      await expect(admit(url, origin)).rejects.toThrow(InvalidProfileError);
    await expect(admit("https://1.1.1.1/", origin, { ...password, token: "t" })).rejects.toThrow(/one or the other/);
    await expect(admit("https://1.1.1.1/", origin, { username: "a:b", password: "" })).rejects.toThrow(/colon/);
    await expect(admit("https://1.1.1.1/", origin, { username: "alice" })).rejects.toThrow(/has no password beside it/);
    await expect(admit("https://1.1.1.1/?a", origin, { username: "a:b" })).rejects.toThrow(/query.*password.*colon/);
  });

  test("a secret in a wrong URL is not repeated", async () => {
    for (const url of [
      "ftp://user:hunter2@a.example/",
      "ftp://user:hun/@ter2@a.example/",
      "user:hunter2@a.example",
      "https://user:hunter2@a.example/",
      "https://a.example/?token=hunter2",
      "https://a.example/#hunter2",
    ])
      await expect(admit(url, "added")).rejects.toThrow(
        expect.objectContaining({ message: expect.not.stringMatching(/hun|ter2/) as string }),
      );
  });
});

describe("credentials over http:", () => {
  test("to a server that the operator declared give a warning", async () => {
    expect(await admit("http://1.1.1.1/", "declared", password)).toEqual([
      expect.stringMatching(/"a" gets its cred.*clear/),
    ]);
    expect(await admit("http://dav.example/", "declared", { token: "t" })).toHaveLength(1);
    expect(await admit("http://dav.example/", "declared", { username: "alice", password: "" })).toHaveLength(1);
  });

  test("to a server that was added are an error", async () => {
    await expect(admit("http://1.1.1.1/", "added", { token: "t" })).rejects.toThrow(
      /in clear.*security\.allowCleartext/,
    );
  });

  test("that are not the profile's give the warning when they are first used", async () => {
    const lines: string[] = [];
    const write = (message: string) => void lines.push(message);
    const log = { debug: write, info: write, warn: write, error: write };
    const transport = webDavTransport(SETTINGS, { allowHosts: [], allowCleartext: false }, systemClock, log);
    const connect = async (url: string, credentials: Credentials | undefined, fields: Partial<WebDavProfile> = {}) => {
      const signal = new AbortController().signal;
      const init = { partition: "", credentials, origin: "declared", signal, clock: systemClock } as const;
      await (await transport.connect(profileOf(url, fields), init))[Symbol.asyncDispose]();
    };
    await connect("http://1.1.1.1/", undefined);
    await connect("https://1.1.1.1/", password);
    await connect("http://localhost/", password);
    await connect("http://1.1.1.1/", password, password);
    expect(lines).toEqual([]);
    await connect("http://1.1.1.1/", password);
    await connect("http://1.1.1.1/", { token: "t" });
    expect(lines).toEqual([expect.stringMatching(/"a" gets its cred.*clear/)]);
    expect(lines.join()).not.toContain("secret");
  });

  test("are no matter where the operator says so, over https:, on this machine, or without credentials", async () => {
    for (const origin of ["declared", "added"] as const) {
      expect(await admit("http://1.1.1.1/", origin, password, { allowCleartext: true })).toEqual([]);
      expect(await admit("https://1.1.1.1/", origin, password)).toEqual([]);
      expect(await admit("http://localhost/", origin, password, { allowHosts: ["localhost"] })).toEqual([]);
      expect(await admit("http://[::1]/", origin, password, { allowHosts: ["::1"] })).toEqual([]);
      expect(await admit("http://1.1.1.1/", origin)).toEqual([]);
    }
  });
});

describe("private addresses", () => {
  test("are the operator's right", async () => {
    expect(await admit("http://127.0.0.1/", "declared", password)).toEqual([]);
    expect(await admit("https://192.168.1.1/", "declared", password)).toEqual([]);
  });

  test("are refused to whoever adds a server, unless allowed", async () => {
    await expect(admit("http://169.254.169.254/", "added")).rejects.toThrow(/security\.allowHosts/);
    await expect(admit("http://localhost:8080/", "added")).rejects.toThrow(ForbiddenAddressError);
    expect(await admit("https://192.168.1.1/", "added", {}, { allowHosts: ["192.168.0.0/16"] })).toEqual([]);
  });

  test("a name that does not resolve may join; it is judged when it is connected to", async () => {
    expect(await admit("https://dav.invalid/", "added", password)).toEqual([]);
  });
});

test("secrets are named, so that the engine keeps them to itself", () => {
  expect(webDavTransport(SETTINGS, { allowHosts: [], allowCleartext: false }, systemClock).secretFields).toEqual([
    "password",
    "token",
  ]);
});
