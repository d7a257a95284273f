import { SecretError } from "@davpool/core";
import { expect, test } from "vitest";
import { signedHeaders, signingKey } from "./signature.ts";

test("signs as the example of the Standard Webhooks libraries does", () => {
  const key = signingKey("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "a test");
  const at = new Date(1_614_265_330_000);
  expect(signedHeaders(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, '{"test": 2432232314}')).toEqual({
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
  });
});

test("a secret without the prefix is its own bytes", () => {
  expect(signingKey("pässword", "a test")).toEqual(Buffer.from("pässword", "utf8"));
});

test.each(["", "whsec_", "whsec_not-base64!", "whsec_QUJD=", "whsec_A"])(
  "%o is no key, and is not repeated",
  (secret) => {
    const signing = () => signingKey(secret, "the webhook");
    expect(signing).toThrow(SecretError);
    expect(signing).toThrow(/the webhook/);
    expect(signing).not.toThrow(/QUJD|not-base64/);
  },
);
