import { describe, expect, test } from "vitest";
import { mirrorProblem, mirroredParameters } from "./mirrored-parameters.ts";

const parameters = mirroredParameters({
  type: "object",
  properties: {
    region: { type: "string", "x-mcp-header": "Region" },
    plain: { type: "string" },
    where: { type: "object", properties: { level: { type: "integer", "x-mcp-header": "Level" } } },
  },
});

test("arguments that are repeated in headers are found at any depth", () => {
  expect(parameters).toEqual([
    { header: "Mcp-Param-Region", path: ["region"] },
    { header: "Mcp-Param-Level", path: ["where", "level"] },
  ]);
  expect(mirroredParameters({ "x-mcp-header": "Whole", type: "object" })).toEqual([]);
});

describe("headers", () => {
  test.each<[object | undefined, Record<string, string>]>([
    [{ region: "eu" }, { "mcp-param-region": "eu" }],
    [{ region: "Köln" }, { "mcp-param-region": "=?base64?S8O2bG4=?=" }],
    [{ region: "=?base64?eu" }, { "mcp-param-region": "=?base64?eu" }],
    [{ region: "" }, { "mcp-param-region": "" }],
    [{ where: { level: 42 } }, { "mcp-param-level": "42.0" }],
    [{ region: null, where: null }, { "mcp-param-region": "eu" }],
    [{ plain: "text" }, {}],
    [undefined, {}],
  ])("agree with %j: %j", (written, headers) => {
    expect(mirrorProblem(parameters, written, new Headers(headers))).toBeUndefined();
  });

  test.each<[object, Record<string, string>, string]>([
    [{ region: "eu" }, {}, "The header Mcp-Param-Region is missing"],
    [{ region: "eu" }, { "mcp-param-region": "us" }, "differs from the argument region"],
    [{ region: "eu" }, { "mcp-param-region": "=?base64?ZXU?=" }, "is not encoded"],
    [{ region: "eu" }, { "mcp-param-region": "=?base64?/w==?=" }, "is not encoded"],
    [{ where: { level: 0 } }, { "mcp-param-level": "" }, "differs from the argument where.level"],
    [{ where: { level: 42 } }, { "mcp-param-level": "0x2a" }, "differs from the argument where.level"],

    [{ where: { level: 42 } }, { "mcp-param-level": "042" }, "differs from the argument where.level"],
    [{ region: true }, { "mcp-param-region": "yes" }, "differs"],
  ])("disagree with %j: %j", (written, headers, problem) => {
    expect(mirrorProblem(parameters, written, new Headers(headers))).toContain(problem);
  });
});
