export { priority, priority as default } from "./priority.ts";
