export { weighted, weighted as default } from "./weighted.ts";
