#!/usr/bin/env node
/*
 * Old platforms understand this file, and it imports nothing before it knows that this one understands the rest: whoever
 * has an older Node.js is told so, in place of a syntax error.
 */
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);

if (major > 22 || (major === 22 && minor >= 19)) void import("./command.ts").then(({ main }) => main());
else {
  process.stderr.write(`davpool needs Node.js 22.19 or later, and this is ${process.versions.node}.\n`);
  process.exitCode = 1;
}
