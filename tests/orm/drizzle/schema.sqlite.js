const { randomUUID } = require("node:crypto");
const { sql } = require("drizzle-orm");
const {
  blob,
  index,
  integer,
  numeric,
  primaryKey,
  real,
  sqliteTable,
  text,
  uniqueIndex,
} = require("drizzle-orm/sqlite-core");

const id = () => integer("id").primaryKey({ autoIncrement: true });
const uuid = (name) => text(name, { length: 36 });

exports.category = sqliteTable("categories", {
  id: id(),
  name: text("name").notNull().unique(),
  parentId: integer("parent_id").references(() => exports.category.id, { onDelete: "restrict" }),
});

exports.label = sqliteTable("labels", { id: id(), name: text("name").notNull().unique() });

exports.product = sqliteTable(
  "products",
  {
    id: uuid("id").primaryKey().$defaultFn(randomUUID),
    sku: text("sku").notNull().unique(),
    name: text("name").notNull(),
    price: numeric("price").notNull(),
    weight: real("weight"),
    stock: integer("stock").notNull().default(0),
    attributes: text("attributes", { mode: "json" }).notNull(),
    released: text("released"),
    categoryId: integer("category_id")
      .notNull()
      .references(() => exports.category.id),
    // Seconds since 1970.
    changedAt: integer("changed_at", { mode: "timestamp" }).notNull().default(sql`(unixepoch())`),
  },
  (table) => [
    index("products_name_idx").on(table.name),
    index("products_category_idx").on(table.categoryId, table.released),
  ],
);

exports.productLabel = sqliteTable(
  "product_labels",
  {
    productId: uuid("product_id")
      .notNull()
      .references(() => exports.product.id, { onDelete: "cascade" }),
    labelId: integer("label_id")
      .notNull()
      .references(() => exports.label.id, { onDelete: "cascade" }),
  },
  (table) => [primaryKey({ columns: [table.productId, table.labelId] })],
);

exports.customer = sqliteTable("customers", {
  id: id(),
  email: text("email").notNull().unique(),
  name: text("name").notNull(),
  level: text("level", { enum: ["basic", "gold"] })
    .notNull()
    .default("basic"),
  active: integer("active", { mode: "boolean" }).notNull().default(true),
  newsletter: integer("newsletter", { mode: "boolean" }),
  balance: numeric("balance").notNull().default("0"),
  settings: blob("settings", { mode: "json" }),
  avatar: blob("avatar", { mode: "buffer" }),
  born: text("born"),
  visits: integer("visits").notNull().default(0),
  // Milliseconds since 1970.
  seenAt: integer("seen_at", { mode: "timestamp_ms" }),
  createdAt: text("created_at").notNull().default(sql`CURRENT_TIMESTAMP`),
  note: text("note"),
});

exports.order = sqliteTable(
  "orders",
  {
    id: id(),
    customerId: integer("customer_id")
      .notNull()
      .references(() => exports.customer.id, { onDelete: "cascade" }),
    number: integer("number").notNull(),
    reference: uuid("reference").unique(),
    placedAt: integer("placed_at", { mode: "timestamp_ms" }).notNull(),
    total: numeric("total").notNull(),
  },
  (table) => [uniqueIndex("orders_number_idx").on(table.customerId, table.number)],
);

exports.orderLine = sqliteTable("order_lines", {
  id: id(),
  orderId: integer("order_id")
    .notNull()
    .references(() => exports.order.id, { onDelete: "cascade" }),
  productId: uuid("product_id")
    .notNull()
    .references(() => exports.product.id),
  quantity: integer("quantity").notNull().default(1),
});
