import { describeError, isDavpoolError } from "@davpool/core";
import type { McpRefusal } from "./wire.ts";

/** The system's code for an error, wherever in its causes it stands. */
export function codeOf(error: unknown): string | undefined {
  for (const one of causesOf(error)) {
    const { code } = one as { code?: unknown };
    if (
      typeof code === "string" &&
      /^(?:E[A-Z]|UND_ERR_|CERT_|DEPTH_|SELF_|UNABLE_)/.test(code) &&
      code !== "ERA_NEGOTIATION_FAILED"
    )
      return code;
  }
  return undefined;
}

/** The HTTP status that an error tells of. */
export function statusOf(error: unknown): number | undefined {
  for (const one of causesOf(error)) {
    const { data, status } = one as { data?: { status?: unknown }; status?: unknown };
    if (typeof status === "number") return status;
    if (typeof data?.status === "number") return data.status;
  }
  return undefined;
}

/** An answer 401 to a request that carried credentials. */
export function refusesCredentials(error: unknown): boolean {
  return causesOf(error).some((one) => (one as { refusal?: Partial<McpRefusal> }).refusal?.credentials === true);
}

/** What keeps a session with a server at an address from beginning, and what to do about it. */
export function problemAt(url: string, error: unknown): string {
  const status = statusOf(error);
  if (status !== undefined) return problemOfStatus(status);
  const own = causesOf(error).find((one) => isDavpoolError(one));
  if (own) return describeError(own);
  switch (codeOf(error)) {
    case "ECONNREFUSED":
      return "connection refused";
    case "ENOTFOUND":
      return `host name ${new URL(url).hostname} not found`;
    case "ECONNRESET":
    case "UND_ERR_SOCKET":
      return "connection closed by the server";
    case "UND_ERR_CONNECT_TIMEOUT":
      return "no connection in time";
    default:
      return describeError(causesOf(error).at(-1) ?? error);
  }
}

/** An HTTP answer that is none of MCP, in one line. What the server wrote stays out: it may repeat a secret. */
export function problemOfStatus(status: number): string {
  switch (status) {
    case 401:
      return "it refuses the credentials (HTTP 401); check token, headers or oauth of this server";
    case 403:
      return "it denies access (HTTP 403); check what the token of this server allows";
    case 404:
    case 405:
      return `there is no MCP endpoint at its address (HTTP ${status}); check the path of url, and say transport: "sse" if it speaks the older HTTP+SSE`;
    default:
      return status >= 300 && status < 400
        ? `it answered with a redirect (HTTP ${status}), which is not followed as it is none of 307 and 308 within the same origin; give the address it leads to`
        : `it answered HTTP ${status}`;
  }
}

/** An error and its causes, outermost first; bounded, as causes may go round. */
function causesOf(error: unknown): readonly object[] {
  const causes: object[] = [];
  for (let one = error; typeof one === "object" && one !== null && causes.length < 8;) {
    causes.push(one);
    const { cause, data } = one as { cause?: unknown; data?: { cause?: unknown } };
    one = cause ?? data?.cause;
  }
  return causes;
}
