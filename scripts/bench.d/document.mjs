// Writes docs/benchmarks.md from the results of `scripts/bench --json FILE`, to standard output.
import { readFileSync } from "node:fs";

const facts = JSON.parse(readFileSync(process.argv[2], "utf8"));
const number = (value) => value.toLocaleString("en-US");
const seconds = (milliseconds) => (milliseconds > 0 ? (milliseconds / 1000).toFixed(1) : "");
const value = (amount, unit) => (unit === "ms" ? `${(amount / 1000).toFixed(2)} s` : `${number(amount)} ${unit}`);
const met = (result) => (result.target === null ? "" : result.ratio <= result.target ? "yes" : "**no**");

const row = (result) => {
  const amounts = [value(result.own, result.unit), value(result.peer, result.unit), result.ratio.toFixed(3)];
  const processors = [seconds(result.own_cpu_ms), seconds(result.peer_cpu_ms)];
  return `| ${[result.what, ...amounts, result.target ?? "", met(result), ...processors].join(" | ")} |`;
};

console.log(`# Benchmarks

\`scripts/bench\` compares the tool with other programs that do the same work: pgloader, sqlite3 piped into psql, DuckDB,
\`GET /dump\` piped into sqlite3, \`pg_dump\` and \`pg_restore\`, and PostgreSQL's own COPY. Each comparison is a number of pairs
of runs, one beside the other. The result is the ratio of the medians. Seconds depend on the machine and cannot be compared
between sessions.

\`\`\`
scripts/bench                          # everything
scripts/bench dump push                # two sections
scripts/bench --json FILE              # the results as JSON, too
BENCH_ROWS=10000000 BENCH_WIDE_ROWS=1000000 BENCH_SCALE_ROWS=100000000 scripts/bench
\`\`\`

The script installs what it needs and builds the tool with optimisation. It starts its servers on loopback, stops them at
the end and removes its files, also after an error. If a section fails, the others still run. This file is written from
\`docs/benchmarks.json\` by \`node scripts/bench.d/document.mjs\`.

The data come from \`examples/workload.rs\`. The following table describes them.

| name | content |
|---|---|
| narrow | five columns: integers, a short text, a real |
| wide | twenty columns: times as text and as milliseconds, dates, UUIDs, JSON of 300 bytes, booleans, amounts, many NULLs; three indexes besides the key |
| many | 500 tables of 200 rows, each with a key, three indexes and a foreign key |
| blobs, texts | 20,000 rows, each with one random value of 50 KB |

## Results

The machine has ${facts.cores} processors. There are ${facts.pairs} pairs, with ${number(facts.narrow_rows)} narrow and ${number(facts.wide_rows)} wide rows unless a line says
otherwise. A ratio below 1 means that this tool is faster or smaller. The target is the greatest ratio that is aimed at; a
line without one has none. Processor time is that of the program, of what it starts, and of the servers that it works with.

| what | turso2neon | other | ratio | target | met | processor seconds, turso2neon | other |
|---|---:|---:|---:|---:|---|---:|---:|
${facts.results.map(row).join("\n")}

## What limits the results

Of the processor time of a conversion three quarters are PostgreSQL's own: COPY, keys and indexes, statistics, and the digest of
each table. The tool's reader takes a fifth. No phase leaves a processor idle for long on two processors, so the whole way
can only become faster by less work.

Of the processor time of a verification more than two fifths are the server's, for the digest; half of that for wide rows is the
text of \`jsonb\`. The rest is reading the dump through SQLite, conversion and hashing, with nothing that stands out.

pgloader, sqlite3 and DuckDB load into a server that runs already, and verify nothing. DuckDB makes no keys and no indexes. A
push also compares a digest of every row on the target and gathers statistics, which \`pg_restore\` does
not.

With a value of 32 MB in a row, dump, plan, convert and verify need less than 64 MB and four times the value. The tests
measure this each time (\`TURSO2NEON_TEST_BLOB_MB\` sets another size).`);
