import { systemClock } from "@davpool/core";
import nock from "nock";
import { afterAll, expect, test } from "vitest";
import { judge } from "./failures.ts";
import { ObservedAttempt } from "./testing/attempt.test-support.ts";
import { connect } from "./testing/connect.test-support.ts";

// nock stands between undici and the network for the whole file, so only single exchanges are tested here.
afterAll(() => nock.restore());

test("an exchange can be mocked, by those who test with nock", async () => {
  const scope = nock("http://dav.example", { reqheaders: { "user-agent": "davpool/test", depth: "0" } })
    .intercept("/dav/a%20b", "PROPFIND")
    .reply(503, "busy", { "Retry-After": "7" });
  await using connection = connect("http://dav.example/dav/");
  const request = { method: "PROPFIND", path: "/a b", headers: { Depth: "0" } };
  const response = await connection.send(request, new ObservedAttempt());
  expect(judge(response, request, systemClock)).toMatchObject({ kind: "overload", retryAfter: 7_000 });
  expect(await response.body.text()).toBe("busy");
  expect(scope.isDone()).toBe(true);
});
