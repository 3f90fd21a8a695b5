// Passes connections on to a port of this machine and counts the bytes both ways: `node counting-proxy.mjs PORT FILE`.
// Prints the port on which it listens; FILE always holds the count.
import { createServer, connect } from "node:net";
import { writeFileSync } from "node:fs";

const [port, file] = process.argv.slice(2);
let bytes = 0;
const count = (piece) => {
  bytes += piece.length;
};
const note = () => writeFileSync(file, String(bytes));
const server = createServer((near) => {
  const far = connect(Number(port), "127.0.0.1");
  for (const [from, to] of [[near, far], [far, near]]) {
    from.on("data", count).on("error", () => to.destroy()).on("close", note);
    from.pipe(to);
  }
});
note();
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
