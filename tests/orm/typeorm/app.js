// A shop with TypeORM.
const path = require("node:path");
const { DataSource, EntitySchema } = require("typeorm");
const judge = require("../judge.js");

// SQLite and PostgreSQL have no name in common for these types.
function entities(side) {
  const zoned = side === "sqlite" ? "datetime" : "timestamp with time zone";
  const bytes = side === "sqlite" ? "blob" : "bytea";
  const json = side === "sqlite" ? "simple-json" : "jsonb";
  const id = { type: Number, primary: true, generated: "increment" };
  const category = new EntitySchema({
    name: "Category",
    columns: { id, name: { type: String, length: 80, unique: true }, parentId: { type: Number, nullable: true } },
    relations: {
      parent: { type: "many-to-one", target: "Category", joinColumn: { name: "parentId" }, onDelete: "RESTRICT" },
    },
  });
  const label = new EntitySchema({ name: "Label", columns: { id, name: { type: String, length: 40, unique: true } } });
  const product = new EntitySchema({
    name: "Product",
    columns: {
      id: { type: "uuid", primary: true, generated: "uuid" },
      sku: { type: String, length: 20, unique: true },
      name: { type: "text" },
      price: { type: "decimal", precision: 12, scale: 2 },
      weight: { type: "double precision", nullable: true },
      stock: { type: Number, default: 0 },
      attributes: { type: json },
      released: { type: "date", nullable: true },
      categoryId: { type: Number },
      changedAt: { type: zoned, updateDate: true },
    },
    relations: {
      category: { type: "many-to-one", target: "Category", joinColumn: { name: "categoryId" } },
      labels: { type: "many-to-many", target: "Label", joinTable: true },
    },
    indices: [{ columns: ["categoryId", "released"] }, { columns: ["name"] }],
  });
  const customer = new EntitySchema({
    name: "Customer",
    columns: {
      id,
      email: { type: String, unique: true },
      name: { type: String, length: 100 },
      level: { type: "simple-enum", enum: ["basic", "gold"], default: "basic" },
      active: { type: Boolean, default: true },
      newsletter: { type: Boolean, nullable: true },
      balance: { type: "decimal", precision: 12, scale: 2, default: 0 },
      settings: { type: "simple-json", nullable: true },
      avatar: { type: bytes, nullable: true },
      born: { type: "date", nullable: true },
      visits: { type: "bigint", default: 0 },
      seenAt: { type: Date, nullable: true },
      createdAt: { type: Date, createDate: true },
      note: { type: "text", nullable: true },
    },
  });
  const order = new EntitySchema({
    name: "Order",
    columns: {
      id,
      customerId: { type: Number },
      number: { type: Number },
      reference: { type: "uuid", nullable: true, unique: true },
      placedAt: { type: zoned },
      total: { type: "decimal", precision: 10, scale: 4 },
    },
    relations: {
      customer: {
        type: "many-to-one",
        target: "Customer",
        joinColumn: { name: "customerId" },
        onDelete: "CASCADE",
      },
    },
    uniques: [{ columns: ["customerId", "number"] }],
  });
  const orderLine = new EntitySchema({
    name: "OrderLine",
    columns: {
      id,
      orderId: { type: Number },
      productId: { type: "uuid" },
      quantity: { type: Number, default: 1 },
    },
    relations: {
      order: { type: "many-to-one", target: "Order", joinColumn: { name: "orderId" }, onDelete: "CASCADE" },
      product: { type: "many-to-one", target: "Product", joinColumn: { name: "productId" } },
    },
  });
  return { category, label, product, customer, order, orderLine };
}

async function connect({ file, url }) {
  const side = file ? "sqlite" : "postgres";
  const models = entities(side);
  const shared = { entities: Object.values(models), migrations: [path.join(__dirname, "migrations", side, "*.js")] };
  if (file) {
    const source = new DataSource({ ...shared, type: "better-sqlite3", driver: require("libsql"), database: file });
    return { models, source: await source.initialize() };
  }
  const { user, ...parts } = judge.connection(url);
  const source = new DataSource({ ...shared, ...parts, type: "postgres", username: user });
  return { models, source: await source.initialize() };
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
  // TypeORM takes `timestamp` for a Date, and node-postgres reads and writes it in the zone of the process.
  zoneless: ["customer.seenAt", "customer.createdAt"],
  async migrate(place) {
    const { source } = await connect(place);
    await source.runMigrations();
    await source.destroy();
  },
  async open(place) {
    const { models, source } = await connect(place);
    const table = (model) => source.getRepository(models[model]);
    const links = (product) => source.createQueryBuilder().relation(models.product, "labels").of(product);
    return {
      all: (model) => table(model).find(),
      find: (model, where) => table(model).find({ where }),
      create: async (model, values) => {
        const row = { ...values };
        await table(model).insert(row);
        return row.id;
      },
      update: (model, id, values) => table(model).update({ id }, values),
      remove: (model, id) => table(model).delete({ id }),
      link: (product, label) => links(product).add(label),
      linked: async (product) => (await links(product).loadMany()).map((row) => row.id),
      close: () => source.destroy(),
    };
  },
  async check(url) {
    const { source } = await connect({ url });
    const { upQueries } = await source.driver.createSchemaBuilder().log();
    for (const { query } of upQueries) judge.fail(`schema:log: ${query}`);
    judge.equal("migrations that are missing", await source.showMigrations(), false);
    judge.equal("migrations that are applied again", await source.runMigrations(), []);
    await source.destroy();
  },
};

module.exports = { connect };
if (require.main === module) judge.main(app);
