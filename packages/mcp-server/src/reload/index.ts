export { Reloader } from "./reloader.ts";
