// A shop with MikroORM.
const path = require("node:path");
const { randomUUID } = require("node:crypto");
const { EntitySchema } = require("@mikro-orm/core");
const { Migrator } = require("@mikro-orm/migrations");
const judge = require("../judge.js");

const id = { type: "number", primary: true, autoincrement: true };

// SQLite has no column type for a time without a zone.
function entities(side) {
  const zoneless = side === "postgres" ? { columnType: "timestamp(3)" } : {};
  const entity = (name, properties, more) => new EntitySchema({ name, properties, ...more });
  const reference = (target, more) => ({ kind: "m:1", entity: target, ...more });
  return [
    entity("Category", {
      id,
      name: { type: "string", length: 80, unique: true },
      parent: reference("Category", { nullable: true, deleteRule: "restrict" }),
    }),
    entity("Label", { id, name: { type: "string", length: 40, unique: true } }),
    entity(
      "Product",
      {
        id: { type: "uuid", primary: true, onCreate: () => randomUUID() },
        sku: { type: "string", length: 20, unique: true },
        name: { type: "text", index: true },
        price: { type: "decimal", precision: 12, scale: 2 },
        weight: { type: "double", nullable: true },
        stock: { type: "integer", default: 0 },
        attributes: { type: "json" },
        released: { type: "date", nullable: true },
        category: reference("Category"),
        labels: { kind: "m:n", entity: "Label" },
        changedAt: { type: "datetime", onCreate: (row) => row.changedAt ?? new Date() },
      },
      { indexes: [{ properties: ["category", "released"] }] },
    ),
    entity("Customer", {
      id,
      email: { type: "string", unique: true },
      name: { type: "string", length: 100 },
      level: { enum: true, items: ["basic", "gold"], default: "basic" },
      active: { type: "boolean", default: true },
      newsletter: { type: "boolean", nullable: true },
      balance: { type: "decimal", precision: 12, scale: 2, default: 0 },
      settings: { type: "json", nullable: true },
      avatar: { type: "blob", nullable: true },
      born: { type: "date", nullable: true },
      visits: { type: "bigint", default: 0 },
      seenAt: { type: "datetime", nullable: true, ...zoneless },
      createdAt: { type: "datetime", onCreate: (row) => row.createdAt ?? new Date() },
      note: { type: "text", nullable: true },
    }),
    entity(
      "Order",
      {
        id,
        customer: reference("Customer", { deleteRule: "cascade" }),
        number: { type: "integer" },
        reference: { type: "uuid", nullable: true, unique: true },
        placedAt: { type: "datetime" },
        total: { type: "decimal", precision: 10, scale: 4 },
      },
      { tableName: "order", uniques: [{ properties: ["customer", "number"] }] },
    ),
    entity("OrderLine", {
      id,
      order: reference("Order", { deleteRule: "cascade" }),
      product: reference("Product"),
      quantity: { type: "integer", default: 1 },
    }),
  ];
}

function connect({ file, url }) {
  const side = file ? "sqlite" : "postgres";
  const folder = path.join(__dirname, "migrations", side);
  const options = {
    entities: entities(side),
    extensions: [Migrator],
    migrations: { path: folder, emit: "js", snapshot: false, silent: true },
    allowGlobalContext: true,
  };
  if (file) return require("@mikro-orm/libsql").MikroORM.init({ ...options, dbName: file });
  const { ssl, database, ...parts } = judge.connection(url);
  const driverOptions = ssl ? { connection: { ssl } } : {};
  // MikroORM compares all schemas of a database; the push says that this setting leaves out the tool's record.
  const schemaGenerator = { ...options.schemaGenerator, ignoreSchema: ["turso2neon", "turso2neon_undo"] };
  const config = { ...options, ...parts, dbName: database, driverOptions, schemaGenerator };
  return require("@mikro-orm/postgresql").MikroORM.init(config);
}

const ENTITIES = {
  category: "Category",
  label: "Label",
  product: "Product",
  customer: "Customer",
  order: "Order",
  orderLine: "OrderLine",
};

// Properties of the entities that the rows name by their keys.
const REFERENCES = {
  parentId: "parent",
  categoryId: "category",
  customerId: "customer",
  orderId: "order",
  productId: "product",
};

const inward = (values) =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [REFERENCES[name] ?? name, value]));

function outward(entity) {
  const row = {};
  for (const [name, value] of Object.entries(entity)) row[name] = value;
  for (const [name, property] of Object.entries(REFERENCES)) {
    if (property in row) row[name] = row[property]?.id ?? null;
  }
  return row;
}

const app = {
  tables: {
    category: "category",
    label: "label",
    product: "product",
    customer: "customer",
    order: "order",
    orderLine: "order_line",
  },
  async migrate(place) {
    const orm = await connect(place);
    await orm.migrator.up();
    await orm.close();
  },
  async open(place) {
    const orm = await connect(place);
    // Every action has a session of its own, so that all values come from the database.
    const find = async (model, where) => {
      const rows = await orm.em.fork().find(ENTITIES[model], inward(where));
      return rows.map(outward);
    };
    const product = (em, key) => em.findOneOrFail("Product", key, { populate: ["labels"] });
    return {
      find,
      all: (model) => find(model, {}),
      create: async (model, values) => {
        const em = orm.em.fork();
        const row = em.create(ENTITIES[model], inward(values));
        await em.persistAndFlush(row);
        return row.id;
      },
      update: async (model, key, values) => {
        const em = orm.em.fork();
        em.assign(await em.findOneOrFail(ENTITIES[model], key), inward(values));
        await em.flush();
      },
      remove: async (model, key) => {
        const em = orm.em.fork();
        await em.removeAndFlush(await em.findOneOrFail(ENTITIES[model], key));
      },
      link: async (key, label) => {
        const em = orm.em.fork();
        (await product(em, key)).labels.add(em.getReference("Label", label));
        await em.flush();
      },
      linked: async (key) => (await product(orm.em.fork(), key)).labels.getIdentifiers(),
      close: () => orm.close(),
    };
  },
  async check(url) {
    const orm = await connect({ url });
    const sql = await orm.schema.getUpdateSchemaSQL({ wrap: false });
    for (const line of sql.split("\n").filter((text) => text.trim())) judge.fail(`schema:update: ${line}`);
    judge.equal("migrations that are missing", await orm.migrator.getPendingMigrations(), []);
    judge.equal("a migration is needed", await orm.migrator.checkMigrationNeeded(), false);
    judge.equal("migrations that are applied again", await orm.migrator.up(), []);
    await orm.close();
  },
};

module.exports = { connect };
if (require.main === module) judge.main(app);
