exports.up = async (knex) => {
  await knex.schema.createTable("orders", (table) => {
    table.bigIncrements("id");
    table.integer("customer_id").notNullable().references("id").inTable("customers").onDelete("CASCADE");
    table.integer("number").notNullable();
    table.uuid("reference").unique();
    table.timestamp("placed_at").notNullable();
    table.decimal("total", 10, 4).notNullable();
    table.unique(["customer_id", "number"]);
  });
  await knex.schema.createTable("order_lines", (table) => {
    table.increments("id");
    table.bigInteger("order_id").notNullable().references("id").inTable("orders").onDelete("CASCADE");
    table.uuid("product_id").notNullable().references("id").inTable("products");
    table.integer("quantity").notNullable().defaultTo(1);
  });
};

exports.down = async (knex) => {
  await knex.schema.dropTable("order_lines");
  await knex.schema.dropTable("orders");
};
