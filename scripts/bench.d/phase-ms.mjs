// The milliseconds of a phase, from the events of `--json`: from its beginning to the next event that is not a step of it.
import { readFileSync } from "node:fs";

const [, , file, phase] = process.argv;
const events = readFileSync(file, "utf8").trim().split("\n").map((line) => JSON.parse(line));
const begun = events.findIndex((event) => event.phase === phase && event.type !== "step");
const ended = events.slice(begun + 1).find((event) => event.phase !== phase);
if (begun < 0 || !ended) {
  console.error(`bench: there is no phase ${phase} in ${file}`);
  process.exit(1);
}
console.log(Date.parse(ended.time) - Date.parse(events[begun].time));
