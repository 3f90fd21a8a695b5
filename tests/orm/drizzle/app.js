// A shop with Drizzle.
const { execFileSync } = require("node:child_process");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { and, eq, isNull } = require("drizzle-orm");
const judge = require("../judge.js");

function connect({ file, url }) {
  if (file) {
    const client = require("@libsql/client").createClient({ url: `file:${file}` });
    const db = require("drizzle-orm/libsql").drizzle(client);
    return { db, schema: require("./schema.sqlite.js"), close: () => client.close() };
  }
  const pool = new (require("pg").Pool)(judge.connection(url));
  const db = require("drizzle-orm/node-postgres").drizzle(pool);
  return { db, schema: require("./schema.postgres.js"), close: () => pool.end() };
}

async function migrate({ file, url }) {
  const { db, close } = connect({ file, url });
  const migrator = require(file ? "drizzle-orm/libsql/migrator" : "drizzle-orm/node-postgres/migrator");
  await migrator.migrate(db, { migrationsFolder: path.join(__dirname, "migrations", file ? "sqlite" : "postgres") });
  await close();
}

// The command line tool, with a copy of the migrations, which it may change.
function kit(url, ...command) {
  const copy = fs.mkdtempSync(path.join(os.tmpdir(), "drizzle-"));
  try {
    fs.cpSync(path.join(__dirname, "migrations", "postgres"), copy, { recursive: true });
    const program = path.join(path.dirname(require.resolve("drizzle-kit")), "bin.cjs");
    const out = path.relative(__dirname, copy);
    const env = { ...process.env, DRIZZLE_OUT: out, DRIZZLE_URL: url };
    const options = { cwd: __dirname, encoding: "utf8", env, stdio: ["ignore", "pipe", "pipe"] };
    return execFileSync(process.execPath, [program, ...command, "--config", "postgres.config.js"], options);
  } catch (cause) {
    return `${cause.stdout}${cause.stderr}`;
  } finally {
    fs.rmSync(copy, { recursive: true });
  }
}

const app = {
  tables: {
    category: "categories",
    label: "labels",
    product: "products",
    customer: "customers",
    order: "orders",
    orderLine: "order_lines",
  },
  migrate,
  async open(place) {
    const { db, schema, close } = connect(place);
    const equals = (table, where) =>
      Object.entries(where).map(([name, value]) => (value === null ? isNull(table[name]) : eq(table[name], value)));
    const links = schema.productLabel;
    return {
      all: (model) => db.select().from(schema[model]),
      find: (model, where) =>
        db
          .select()
          .from(schema[model])
          .where(and(...equals(schema[model], where))),
      create: async (model, values) => {
        let insert = db.insert(schema[model]);
        // One key is GENERATED ALWAYS.
        if (place.url && model === "label" && values.id) insert = insert.overridingSystemValue();
        return (await insert.values(values).returning())[0].id;
      },
      update: (model, id, values) => db.update(schema[model]).set(values).where(eq(schema[model].id, id)),
      remove: (model, id) => db.delete(schema[model]).where(eq(schema[model].id, id)),
      link: (product, label) => db.insert(links).values({ productId: product, labelId: label }),
      linked: async (product) =>
        (await db.select().from(links).where(eq(links.productId, product))).map((row) => row.labelId),
      close,
    };
  },
  async check(url) {
    const commands = [
      ["generate", "No schema changes"],
      ["check", "Everything's fine"],
      ["push", "No changes detected", "--strict", "--verbose"],
    ];
    for (const [command, answer, ...flags] of commands) {
      const said = kit(url, command, ...flags);
      judge.expect(said.includes(answer), `drizzle-kit ${command}: ${said.trim()}`);
    }
    const { db, close } = connect({ url });
    const count = async () => (await db.execute("SELECT count(*) FROM drizzle.__drizzle_migrations")).rows;
    const before = await count();
    judge.equal("migrations that are applied", before, [{ count: "1" }]);
    await migrate({ url });
    judge.equal("migrations after another migration", await count(), before);
    await close();
  },
};

judge.main(app);
