const { Migration } = require("@mikro-orm/migrations");

class Migration20240101000000 extends Migration {
  async up() {
    this.addSql(
      `create table \`category\` (\`id\` integer not null primary key autoincrement, \`name\` text not null, \`parent_id\` integer null, constraint \`category_parent_id_foreign\` foreign key(\`parent_id\`) references \`category\`(\`id\`) on delete restrict on update cascade);`,
    );
    this.addSql(
      `create unique index \`category_name_unique\` on \`category\` (\`name\`);`,
    );
    this.addSql(
      `create index \`category_parent_id_index\` on \`category\` (\`parent_id\`);`,
    );
    this.addSql(
      `create table \`customer\` (\`id\` integer not null primary key autoincrement, \`email\` text not null, \`name\` text not null, \`level\` text check (\`level\` in ('basic', 'gold')) not null default 'basic', \`active\` integer not null default true, \`newsletter\` integer null, \`balance\` numeric(12,2) not null default 0, \`settings\` json null, \`avatar\` blob null, \`born\` date null, \`visits\` bigint not null default 0, \`seen_at\` datetime null, \`created_at\` datetime not null, \`note\` text null);`,
    );
    this.addSql(
      `create unique index \`customer_email_unique\` on \`customer\` (\`email\`);`,
    );
    this.addSql(
      `create table \`label\` (\`id\` integer not null primary key autoincrement, \`name\` text not null);`,
    );
    this.addSql(
      `create unique index \`label_name_unique\` on \`label\` (\`name\`);`,
    );
    this.addSql(
      `create table \`order\` (\`id\` integer not null primary key autoincrement, \`customer_id\` integer not null, \`number\` integer not null, \`reference\` text null, \`placed_at\` datetime not null, \`total\` numeric(10,4) not null, constraint \`order_customer_id_foreign\` foreign key(\`customer_id\`) references \`customer\`(\`id\`) on delete cascade on update cascade);`,
    );
    this.addSql(
      `create index \`order_customer_id_index\` on \`order\` (\`customer_id\`);`,
    );
    this.addSql(
      `create unique index \`order_reference_unique\` on \`order\` (\`reference\`);`,
    );
    this.addSql(
      `create unique index \`order_customer_id_number_unique\` on \`order\` (\`customer_id\`, \`number\`);`,
    );
    this.addSql(
      `create table \`product\` (\`id\` text not null, \`sku\` text not null, \`name\` text not null, \`price\` numeric(12,2) not null, \`weight\` double null, \`stock\` integer not null default 0, \`attributes\` json not null, \`released\` date null, \`category_id\` integer not null, \`changed_at\` datetime not null, constraint \`product_category_id_foreign\` foreign key(\`category_id\`) references \`category\`(\`id\`) on update cascade, primary key (\`id\`));`,
    );
    this.addSql(
      `create unique index \`product_sku_unique\` on \`product\` (\`sku\`);`,
    );
    this.addSql(
      `create index \`product_name_index\` on \`product\` (\`name\`);`,
    );
    this.addSql(
      `create index \`product_category_id_index\` on \`product\` (\`category_id\`);`,
    );
    this.addSql(
      `create index \`product_category_id_released_index\` on \`product\` (\`category_id\`, \`released\`);`,
    );
    this.addSql(
      `create table \`order_line\` (\`id\` integer not null primary key autoincrement, \`order_id\` integer not null, \`product_id\` text not null, \`quantity\` integer not null default 1, constraint \`order_line_order_id_foreign\` foreign key(\`order_id\`) references \`order\`(\`id\`) on delete cascade on update cascade, constraint \`order_line_product_id_foreign\` foreign key(\`product_id\`) references \`product\`(\`id\`) on update cascade);`,
    );
    this.addSql(
      `create index \`order_line_order_id_index\` on \`order_line\` (\`order_id\`);`,
    );
    this.addSql(
      `create index \`order_line_product_id_index\` on \`order_line\` (\`product_id\`);`,
    );
    this.addSql(
      `create table \`product_labels\` (\`product_id\` text not null, \`label_id\` integer not null, constraint \`product_labels_product_id_foreign\` foreign key(\`product_id\`) references \`product\`(\`id\`) on delete cascade on update cascade, constraint \`product_labels_label_id_foreign\` foreign key(\`label_id\`) references \`label\`(\`id\`) on delete cascade on update cascade, primary key (\`product_id\`, \`label_id\`));`,
    );
    this.addSql(
      `create index \`product_labels_product_id_index\` on \`product_labels\` (\`product_id\`);`,
    );
    this.addSql(
      `create index \`product_labels_label_id_index\` on \`product_labels\` (\`label_id\`);`,
    );
  }
}

exports.Migration20240101000000 = Migration20240101000000;
