// A shop with Knex.
const { randomUUID } = require("node:crypto");
const path = require("node:path");
const knex = require("knex");
const judge = require("../judge.js");

// The client for better-sqlite3 works with libSQL's module, which has the same interface.
class Sqlite extends require("knex/lib/dialects/better-sqlite3") {
  _driver() {
    return require("libsql");
  }
}

function connect({ file, url }) {
  const migrations = { directory: path.join(__dirname, "migrations") };
  if (url) return knex({ client: "pg", connection: judge.connection(url), migrations });
  return knex({
    client: Sqlite,
    connection: { filename: file },
    migrations,
    useNullAsDefault: true,
    pool: {
      afterCreate(connection, done) {
        connection.pragma("foreign_keys = ON");
        done(null, connection);
      },
    },
  });
}

const tables = {
  category: "categories",
  label: "labels",
  product: "products",
  customer: "customers",
  order: "orders",
  orderLine: "order_lines",
};

const snake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const camel = (name) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());
const renamed = (row, rename) => Object.fromEntries(Object.entries(row).map(([name, value]) => [rename(name), value]));

const app = {
  tables,
  zoneless: ["customer.seenAt"],
  async migrate(place) {
    const db = connect(place);
    await db.migrate.latest();
    await db.destroy();
  },
  async open(place) {
    const db = connect(place);
    const json = (values) => {
      const text = { ...values };
      for (const name of ["attributes", "settings"]) if (text[name]) text[name] = JSON.stringify(text[name]);
      return renamed(text, snake);
    };
    const rows = (found) => found.map((row) => renamed(row, camel));
    return {
      all: async (model) => rows(await db(tables[model])),
      find: async (model, where) => rows(await db(tables[model]).where(renamed(where, snake))),
      create: async (model, values) => {
        if (model === "product") values = { id: randomUUID(), ...values };
        return (await db(tables[model]).insert(json(values)).returning("id"))[0].id;
      },
      update: (model, id, values) => db(tables[model]).where({ id }).update(json(values)),
      remove: (model, id) => db(tables[model]).where({ id }).delete(),
      link: (product, label) => db("product_labels").insert({ product_id: product, label_id: label }),
      linked: (product) => db("product_labels").where({ product_id: product }).pluck("label_id"),
      close: () => db.destroy(),
    };
  },
  async check(url) {
    const db = connect({ url });
    const [, applied] = await db.migrate.latest();
    judge.equal("migrations that are applied again", applied, []);
    const [done, missing] = await db.migrate.list();
    judge.equal("migrations that are missing", missing, []);
    judge.equal("migrations that are applied", done.length, 2);
    judge.equal("status", await db.migrate.status(), 0);
    await db.destroy();
  },
};

judge.main(app);
