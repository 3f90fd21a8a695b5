exports.up = async (knex) => {
  await knex.schema.createTable("categories", (table) => {
    table.increments("id");
    table.string("name", 80).notNullable().unique();
    table.integer("parent_id").unsigned().references("id").inTable("categories").onDelete("RESTRICT");
  });
  await knex.schema.createTable("labels", (table) => {
    table.increments("id");
    table.string("name", 40).notNullable().unique();
  });
  await knex.schema.createTable("products", (table) => {
    table.uuid("id").primary();
    table.string("sku", 20).notNullable().unique();
    table.text("name").notNullable().index();
    table.decimal("price", 12, 2).notNullable();
    table.double("weight");
    table.integer("stock").notNullable().defaultTo(0);
    table.jsonb("attributes").notNullable();
    table.date("released");
    table.integer("category_id").notNullable().references("id").inTable("categories");
    table.timestamp("changed_at").notNullable().defaultTo(knex.fn.now());
    table.index(["category_id", "released"]);
  });
  await knex.schema.createTable("product_labels", (table) => {
    table.uuid("product_id").notNullable().references("id").inTable("products").onDelete("CASCADE");
    table.integer("label_id").notNullable().references("id").inTable("labels").onDelete("CASCADE");
    table.primary(["product_id", "label_id"]);
  });
  await knex.schema.createTable("customers", (table) => {
    table.increments("id");
    table.string("email").notNullable().unique();
    table.string("name", 100).notNullable();
    table.enu("level", ["basic", "gold"]).notNullable().defaultTo("basic");
    table.boolean("active").notNullable().defaultTo(true);
    table.boolean("newsletter");
    table.decimal("balance", 12, 2).notNullable().defaultTo(0);
    table.json("settings");
    table.binary("avatar");
    table.date("born");
    table.bigInteger("visits").notNullable().defaultTo(0);
    table.datetime("seen_at", { useTz: false });
    table.timestamp("created_at").notNullable().defaultTo(knex.fn.now());
    table.text("note");
  });
};

exports.down = async (knex) => {
  for (const name of ["customers", "product_labels", "products", "labels", "categories"]) {
    await knex.schema.dropTable(name);
  }
};
