const {
  bigint,
  boolean,
  customType,
  date,
  doublePrecision,
  index,
  integer,
  json,
  jsonb,
  numeric,
  pgEnum,
  pgTable,
  primaryKey,
  serial,
  text,
  timestamp,
  uniqueIndex,
  uuid,
  varchar,
} = require("drizzle-orm/pg-core");

const bytes = customType({ dataType: () => "bytea" });

exports.level = pgEnum("level", ["basic", "gold"]);

exports.category = pgTable("categories", {
  id: serial("id").primaryKey(),
  name: varchar("name", { length: 80 }).notNull().unique(),
  parentId: integer("parent_id").references(() => exports.category.id, { onDelete: "restrict" }),
});

exports.label = pgTable("labels", {
  id: integer("id").primaryKey().generatedAlwaysAsIdentity(),
  name: varchar("name", { length: 40 }).notNull().unique(),
});

exports.product = pgTable(
  "products",
  {
    id: uuid("id").primaryKey().defaultRandom(),
    sku: varchar("sku", { length: 20 }).notNull().unique(),
    name: text("name").notNull(),
    price: numeric("price", { precision: 12, scale: 2 }).notNull(),
    weight: doublePrecision("weight"),
    stock: integer("stock").notNull().default(0),
    attributes: jsonb("attributes").notNull(),
    released: date("released"),
    categoryId: integer("category_id")
      .notNull()
      .references(() => exports.category.id),
    changedAt: timestamp("changed_at", { withTimezone: true }).notNull().defaultNow(),
  },
  (table) => [
    index("products_name_idx").on(table.name),
    index("products_category_idx").on(table.categoryId, table.released),
  ],
);

exports.productLabel = pgTable(
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

exports.customer = pgTable("customers", {
  id: serial("id").primaryKey(),
  email: varchar("email", { length: 255 }).notNull().unique(),
  name: varchar("name", { length: 100 }).notNull(),
  level: exports.level("level").notNull().default("basic"),
  active: boolean("active").notNull().default(true),
  newsletter: boolean("newsletter"),
  balance: numeric("balance", { precision: 12, scale: 2 }).notNull().default("0"),
  settings: json("settings"),
  avatar: bytes("avatar"),
  born: date("born"),
  visits: bigint("visits", { mode: "number" }).notNull().default(0),
  seenAt: timestamp("seen_at", { precision: 3 }),
  createdAt: timestamp("created_at", { withTimezone: true, mode: "string" }).notNull().defaultNow(),
  note: text("note"),
});

exports.order = pgTable(
  "orders",
  {
    id: integer("id").primaryKey().generatedByDefaultAsIdentity(),
    customerId: integer("customer_id")
      .notNull()
      .references(() => exports.customer.id, { onDelete: "cascade" }),
    number: integer("number").notNull(),
    reference: uuid("reference").unique(),
    placedAt: timestamp("placed_at", { withTimezone: true }).notNull(),
    total: numeric("total", { precision: 10, scale: 4 }).notNull(),
  },
  (table) => [uniqueIndex("orders_number_idx").on(table.customerId, table.number)],
);

exports.orderLine = pgTable("order_lines", {
  id: serial("id").primaryKey(),
  orderId: integer("order_id")
    .notNull()
    .references(() => exports.order.id, { onDelete: "cascade" }),
  productId: uuid("product_id")
    .notNull()
    .references(() => exports.product.id),
  quantity: integer("quantity").notNull().default(1),
});
