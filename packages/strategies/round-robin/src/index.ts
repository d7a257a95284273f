export { roundRobin, roundRobin as default } from "./round-robin.ts";
