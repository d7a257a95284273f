/** JSON-RPC: not a request that can be answered. */
export const INVALID_REQUEST = -32_600;

/** Why the second of two requests under one id is refused. */
export const SAME_ID = "Another request that is not answered yet has the same id.";
