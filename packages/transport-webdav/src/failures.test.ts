import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createSecureServer } from "node:http2";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer as createTlsServer, getCACertificates, setDefaultCACertificates } from "node:tls";
import { ForbiddenAddressError, PoolClosedError, type Failure, createManualClock } from "@davpool/core";
import { createWebDavServer } from "@davpool/testkit";
import { missingProgram } from "@davpool/testkit/real-servers";
import { beforeAll, describe, expect, test } from "vitest";
import { InvalidBodyError, InvalidPathError, InvalidRequestError, InvalidXmlError } from "./errors.ts";
import { explain, judge } from "./failures.ts";
import { ObservedAttempt } from "./testing/attempt.test-support.ts";
import { connect, type ConnectOptions } from "./testing/connect.test-support.ts";
import { createRawServer } from "./testing/raw-server.test-support.ts";
import type { WebDavRequest, WebDavResponse } from "./wire.ts";

/** What became of one request: the failure, and whether any of it may have been sent. */
async function failure(
  url: string,
  request: Partial<WebDavRequest> = {},
  options: ConnectOptions = {},
): Promise<Pick<Failure, "kind" | "blame"> & { sent: boolean; message: string }> {
  const attempt = new ObservedAttempt();
  await using connection = connect(url, options);
  const outcome = connection.send({ method: "GET", path: "/a", ...request }, attempt).then(({ body }) => body.read());
  const error: unknown = await outcome.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeDefined();
  const { kind, blame, message, cause } = explain(error);
  expect(cause).toBe(error);
  return { kind, blame, message, sent: attempt.wasSent > 0 };
}

describe("before anything was sent", () => {
  const unsent = { kind: "unsent", blame: "server", sent: false };

  test("refused", async () => {
    await using server = await createWebDavServer();
    await server.stop();
    expect(await failure(server.url)).toMatchObject({ ...unsent, message: "connection refused" });
    expect(await failure(server.url.replace("127.0.0.1", "localhost"))).toMatchObject(unsent);
  });

  test("a name that does not resolve", async () => {
    expect(await failure("http://no-such-host.invalid/")).toMatchObject(unsent);
  });

  test("TLS spoken to a server that does not speak it", async () => {
    await using server = await createWebDavServer();
    expect(await failure(server.url.replace("http:", "https:"))).toMatchObject(unsent);
  });

  test("a TLS server that refuses the handshake", async () => {
    const server = createTlsServer({}).on("tlsClientError", () => {});
    await once(server.listen(0, "127.0.0.1"), "listening");
    const { port } = server.address() as AddressInfo;
    expect(await failure(`https://127.0.0.1:${port}/`)).toMatchObject(unsent);
    server.close();
  });

  test("a server that closes the connection during the handshake", async () => {
    const server = createServer((socket) => socket.once("data", () => socket.destroy()));
    await once(server.listen(0, "127.0.0.1"), "listening");
    const { port } = server.address() as AddressInfo;
    // The code says only that a connection was lost; that nothing was sent, the attempt knows.
    expect(await failure(`https://127.0.0.1:${port}/`)).toMatchObject({ kind: "broken", sent: false });
    server.close();
  });

  test("no connection in time", async () => {
    // A TLS handshake that nobody answers.
    const server = createServer();
    await once(server.listen(0, "127.0.0.1"), "listening");
    const { port } = server.address() as AddressInfo;
    const found = await failure(`https://127.0.0.1:${port}/`, {}, { settings: { connectTimeout: 50 } });
    expect(found).toMatchObject({ ...unsent, message: "no connection in time" });
    server.close();
  });

  test("an address that is forbidden", () => {
    expect(explain(new ForbiddenAddressError("http://a/", "why", "remedy"))).toMatchObject({
      kind: "unsent",
      blame: "server",
    });
  });
});

const OPENSSL = "openssl";
describe.skipIf(missingProgram(OPENSSL))("with a certificate of its own", () => {
  let [key, cert] = ["", ""];

  beforeAll(() => {
    const folder = mkdtempSync(join(tmpdir(), "davpool-tls-"));
    const [keyFile, certFile] = [join(folder, "key"), join(folder, "cert")];
    const kind = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost";
    const rest = ["-addext", "subjectAltName=DNS:localhost", "-keyout", keyFile, "-out", certFile];
    execFileSync(OPENSSL, [...kind.split(" "), ...rest], { stdio: "ignore" });
    [key, cert] = [readFileSync(keyFile, "utf8"), readFileSync(certFile, "utf8")];
    rmSync(folder, { recursive: true });
  });

  async function served(use: (port: number, versions: string[]) => Promise<void>): Promise<void> {
    const versions: string[] = [];
    const secure = createSecureServer({ key, cert, allowHTTP1: true }, (request, response) => {
      versions.push(request.httpVersion);
      response.end("text");
    });
    secure.on("sessionError", () => {}).on("tlsClientError", () => {});
    await once(secure.listen(0, "127.0.0.1"), "listening");
    await use((secure.address() as AddressInfo).port, versions);
    secure.close();
  }

  test("that nobody vouches for, nothing is sent", async () => {
    await served(async (port) => {
      expect(await failure(`https://localhost:${port}/`)).toMatchObject({
        kind: "unsent",
        blame: "server",
        sent: false,
      });
    });
  });

  test("that is trusted but another's, nothing is sent; HTTP/1.1 is spoken where HTTP/2 would be", async () => {
    const trusted = getCACertificates("default");
    setDefaultCACertificates([...trusted, cert]);
    try {
      await served(async (port, versions) => {
        expect(await failure(`https://127.0.0.1:${port}/`)).toMatchObject({ kind: "unsent", sent: false });
        await using connection = connect(`https://localhost:${port}/`);
        const { body } = await connection.send({ method: "GET", path: "/" }, new ObservedAttempt());
        expect(await body.text()).toBe("text");
        expect(versions).toEqual(["1.1"]);
      });
    } finally {
      setDefaultCACertificates(trusted);
    }
  });
});

describe("after something may have been sent", () => {
  const broken = { kind: "broken", blame: "repetition", sent: true };

  test.each(["before-body", "after-request"] as const)("a reset %s", async (when) => {
    await using server = await createWebDavServer();
    await server.inject({ kind: "reset", when });
    expect(await failure(server.url)).toMatchObject(broken);
    expect(await failure(server.url, { method: "PUT", body: "text" })).toMatchObject(broken);
  });

  test("a reset while the body is being sent", async () => {
    await using server = await createWebDavServer();
    await server.inject({ kind: "reset", when: "mid-request", afterBytes: 100_000 });
    const body = new Uint8Array(20_000_000);
    expect(await failure(server.url, { method: "PUT", body })).toMatchObject(broken);
  });

  test("a reset in the midst of the answer's body", async () => {
    await using server = await createWebDavServer();
    server.tree.write("/a", "x".repeat(1_000));
    await server.inject({ kind: "reset", when: "mid-body", afterBytes: 10 });
    expect(await failure(server.url)).toMatchObject(broken);
  });

  test.each([false, true])("an answer that breaks off (chunked: %s)", async (chunked) => {
    await using server = await createWebDavServer();
    server.tree.write("/a", "x".repeat(1_000));
    await server.inject({ kind: "truncate", afterBytes: 10, chunked });
    expect(await failure(server.url)).toMatchObject(broken);
  });

  test.each([
    ["nothing", ""],
    ["no HTTP", "SSH-2.0-OpenSSH_9\r\n\r\n"],
    ["half a head", "HTTP/1.1 200 OK\r\nContent-Le"],
    ["a head without end", `HTTP/1.1 200 OK\r\n${"X: y\r\n".repeat(5_000)}`],
    ["an impossible length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"],
    ["a status that there is not", "HTTP/1.1 000 \r\nContent-Length: 0\r\n\r\n"],
    ["a status of four digits", "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"],
    ["a status without digits", "HTTP/1.1 abc OK\r\n\r\n"],
    ["a version that there is not", "HTTP/9.9 200 OK\r\n\r\n"],
    ["100 where nobody asked", "HTTP/1.1 100 Continue\r\n\r\n"],
    ["an upgrade nobody wanted", "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"],
  ])("%s instead of an answer", async (_name, text) => {
    await using server = await createRawServer((socket) => socket.end(text));
    expect(await failure(server.url)).toMatchObject(broken);
  });
});

describe("a connection that answered before", () => {
  const OK = "HTTP/1.1 204 No Content\r\n\r\n";

  /** What an error of the second request on one socket means, when the server does this to it. */
  async function second(end: (socket: Socket) => void) {
    await using server = await createRawServer((socket, request) =>
      request === 1 ? void socket.write(OK) : end(socket),
    );
    await using connection = connect(server.url, { profile: { maxConnections: 1 } });
    await connection.send({ method: "GET", path: "/a" }, new ObservedAttempt());
    const outcome = connection.send({ method: "GET", path: "/a" }, new ObservedAttempt());
    return outcome.then(({ body }) => body.read()).catch(explain);
  }

  test.each<[string, (socket: Socket) => void]>([
    ["closed", (socket) => socket.end()],
    ["reset", (socket) => socket.resetAndDestroy()],
  ])("and is %s when the next request comes was merely stale", async (_name, end) => {
    expect(await second(end)).toMatchObject({ kind: "broken", blame: "connection" });
  });

  test.each<[string, string]>([
    ["half a head", "HTTP/1.1 200 OK\r\nContent-Le"],
    ["half a body", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"],
    ["no HTTP", "SSH-2.0-OpenSSH_9\r\n\r\n"],
  ])("and gives %s is in trouble when it does so again", async (_name, text) => {
    expect(await second((socket) => socket.end(text))).toMatchObject({ kind: "broken", blame: "repetition" });
  });
});

describe("what is nobody's fault but the caller's", () => {
  const invalid = { kind: "invalid", blame: "request" };

  test("a path, a method or a header that must not be sent", async () => {
    await using server = await createWebDavServer();
    expect(await failure(server.url, { path: "/../x" })).toMatchObject({ ...invalid, sent: false });
    expect(await failure(server.url, { method: "BREW" })).toMatchObject({ ...invalid, sent: false });
    expect(await failure(server.url, { headers: { Host: "x" } })).toMatchObject({ ...invalid, sent: false });
    expect(server.connectionsAccepted).toBe(0);
  });

  test("a body whose source fails, even if it fails like a connection", async () => {
    await using server = await createWebDavServer();
    async function* source(): AsyncGenerator<Uint8Array> {
      yield Buffer.from("some");
      throw Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" });
    }
    expect(await failure(server.url, { method: "PUT", body: source })).toMatchObject({
      ...invalid,
      sent: true,
      message: "The request's body could not be read: read ECONNRESET",
    });
    await server.idle();
    expect(server.tree.exists("/a")).toBe(false);
  });

  test("an abort", async () => {
    await using server = await createWebDavServer();
    await using connection = connect(server.url);
    const attempt = new ObservedAttempt();
    attempt.abort(new Error("changed my mind"));
    await expect(connection.send({ method: "GET", path: "/" }, attempt)).rejects.toThrow("changed my mind");
    expect(explain(attempt.signal.reason)).toMatchObject(invalid);
  });

  test.each([new InvalidPathError("/", "x"), new InvalidRequestError("x"), new InvalidBodyError("x")])(
    "%s",
    (error) => {
      expect(explain(error)).toMatchObject(invalid);
    },
  );

  test.each([undefined, null, "text", 7, {}, new Error("x"), Object.assign(new Error("x"), { code: "E_OTHER" })])(
    "%s, which nobody can explain",
    (error) => {
      expect(explain(error)).toMatchObject(invalid);
    },
  );
});

test("an answer that is not the XML it should be is a broken one", () => {
  expect(explain(new InvalidXmlError("it is not well-formed"))).toMatchObject({ kind: "broken", blame: "request" });
});

test("a connection that was closed from this side is no fault of the server", async () => {
  await using server = await createWebDavServer();
  const connection = connect(server.url);
  await connection[Symbol.asyncDispose]();
  const attempt = new ObservedAttempt();
  const error: unknown = await connection
    .send({ method: "GET", path: "/" }, attempt)
    .catch((thrown: unknown) => thrown);
  expect(explain(error)).toMatchObject({ kind: "broken", blame: "connection" });
  expect(attempt.wasSent).toBe(0);
});

test("nor is the end of the pool", () => {
  expect(explain(new PoolClosedError("files"))).toMatchObject({ kind: "broken", blame: "connection" });
});

test.each([
  ["UND_ERR_HEADERS_TIMEOUT", "timeout"],
  ["UND_ERR_BODY_TIMEOUT", "timeout"],
  ["ETIMEDOUT", "broken"],
  ["CERT_HAS_EXPIRED", "unsent"],
  ["CERT_REVOKED", "unsent"],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "unsent"],
  ["EPROTO", "unsent"],
  ["EAI_AGAIN", "unsent"],
])("%s is %s", (code, kind) => {
  expect(explain(Object.assign(new Error("x"), { code }))).toMatchObject({
    kind,
    blame: kind === "broken" ? "repetition" : "server",
    code,
    message: "x",
  });
});

test("ETIMEDOUT while connecting is unsent", () => {
  expect(explain(Object.assign(new Error("x"), { code: "ETIMEDOUT", syscall: "connect" })).kind).toBe("unsent");
});

describe("a status", () => {
  const judgedFor = (method: string, response: object) =>
    judge(response as unknown as WebDavResponse, { method, path: "/a" }, createManualClock());
  const judged = (status: number, retryAfter?: string | string[]) =>
    judgedFor("PUT", { status, headers: { "retry-after": retryAfter } });

  test.each([500, 502, 504, 520, 524])("%i says that the server cannot, and that the work may be done", (status) => {
    expect(judged(status)).toEqual({
      kind: "unavailable",
      blame: "server",
      message: `it answered ${status}`,
      code: status,
      mayBeDone: true,
    });
  });

  test.each(["COPY", "MOVE"])("502 to %s is an answer about the destination", (method) => {
    expect(judgedFor(method, { status: 502, headers: {} })).toBeUndefined();
    expect(judgedFor(method, { status: 504, headers: {} })).toMatchObject({ mayBeDone: true });
  });

  test("401 refuses credentials, where there were any", () => {
    const refused = { kind: "refused", blame: "request", code: 401 };
    expect(judgedFor("LOCK", { status: 401, headers: {}, authorized: true })).toMatchObject(refused);
  });

  test("408 is an answer that counts against the server only when it repeats itself", () => {
    expect(judged(408)).toMatchObject({ kind: "rejected", blame: "repetition", code: 408 });
  });

  test("503 and 429 say that it is busy, 429 not to everybody", () => {
    expect(judged(503)).toMatchObject({ kind: "overload", blame: "server", code: 503 });
    expect(judged(429)).toMatchObject({ kind: "overload", blame: "repetition", code: 429 });
    expect(judged(503)).not.toHaveProperty("retryAfter");
  });

  test.each([100, 200, 207, 304, 400, 401, 404, 409, 412, 423, 424, 428, 431, 501, 505, 507, 508, 511])(
    "%i is an answer",
    (status) => {
      expect(judged(status)).toBeUndefined();
    },
  );

  test("Retry-After comes in seconds or as a date", () => {
    expect(judged(503, "120")).toMatchObject({ retryAfter: 120_000 });
    expect(judged(429, "0")).toMatchObject({ retryAfter: 0 });
    expect(judged(503, "Thu, 01 Jan 2026 00:01:00 GMT")).toMatchObject({ retryAfter: 60_000 });
    expect(judged(503, "Wed, 21 Oct 2015 07:28:00 GMT")).toMatchObject({ retryAfter: 0 });
    expect(judged(503, "soon")).not.toHaveProperty("retryAfter");
    expect(judged(503, ["1", "2"])).toMatchObject({ retryAfter: 1_000 });
  });
});
