import { openPool } from "./pool.test-support.ts";

/* A program with a pool of one server, given as JSON: it says when the server has answered, and stays. */

const open = await openPool([{ command: JSON.parse(process.argv[2] ?? "[]") as string[] }]);
await open.pool.execute({ method: "tools/list" });
console.log("ready");
setInterval(() => {}, 60_000);
