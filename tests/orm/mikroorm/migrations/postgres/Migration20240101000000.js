const { Migration } = require("@mikro-orm/migrations");

class Migration20240101000000 extends Migration {
  async up() {
    this.addSql(
      `create table "category" ("id" serial primary key, "name" varchar(80) not null, "parent_id" int null);`,
    );
    this.addSql(
      `alter table "category" add constraint "category_name_unique" unique ("name");`,
    );
    this.addSql(
      `create table "customer" ("id" serial primary key, "email" varchar(255) not null, "name" varchar(100) not null, "level" text check ("level" in ('basic', 'gold')) not null default 'basic', "active" boolean not null default true, "newsletter" boolean null, "balance" numeric(12,2) not null default 0, "settings" jsonb null, "avatar" bytea null, "born" date null, "visits" bigint not null default 0, "seen_at" timestamp(3) null, "created_at" timestamptz not null, "note" text null);`,
    );
    this.addSql(
      `alter table "customer" add constraint "customer_email_unique" unique ("email");`,
    );
    this.addSql(
      `create table "label" ("id" serial primary key, "name" varchar(40) not null);`,
    );
    this.addSql(
      `alter table "label" add constraint "label_name_unique" unique ("name");`,
    );
    this.addSql(
      `create table "order" ("id" serial primary key, "customer_id" int not null, "number" int not null, "reference" uuid null, "placed_at" timestamptz not null, "total" numeric(10,4) not null);`,
    );
    this.addSql(
      `alter table "order" add constraint "order_reference_unique" unique ("reference");`,
    );
    this.addSql(
      `alter table "order" add constraint "order_customer_id_number_unique" unique ("customer_id", "number");`,
    );
    this.addSql(
      `create table "product" ("id" uuid not null, "sku" varchar(20) not null, "name" text not null, "price" numeric(12,2) not null, "weight" double precision null, "stock" int not null default 0, "attributes" jsonb not null, "released" date null, "category_id" int not null, "changed_at" timestamptz not null, constraint "product_pkey" primary key ("id"));`,
    );
    this.addSql(
      `alter table "product" add constraint "product_sku_unique" unique ("sku");`,
    );
    this.addSql(
      `create index "product_name_index" on "product" ("name");`,
    );
    this.addSql(
      `create index "product_category_id_released_index" on "product" ("category_id", "released");`,
    );
    this.addSql(
      `create table "order_line" ("id" serial primary key, "order_id" int not null, "product_id" uuid not null, "quantity" int not null default 1);`,
    );
    this.addSql(
      `create table "product_labels" ("product_id" uuid not null, "label_id" int not null, constraint "product_labels_pkey" primary key ("product_id", "label_id"));`,
    );
    this.addSql(
      `alter table "category" add constraint "category_parent_id_foreign" foreign key ("parent_id") references "category" ("id") on update cascade on delete restrict;`,
    );
    this.addSql(
      `alter table "order" add constraint "order_customer_id_foreign" foreign key ("customer_id") references "customer" ("id") on update cascade on delete cascade;`,
    );
    this.addSql(
      `alter table "product" add constraint "product_category_id_foreign" foreign key ("category_id") references "category" ("id") on update cascade;`,
    );
    this.addSql(
      `alter table "order_line" add constraint "order_line_order_id_foreign" foreign key ("order_id") references "order" ("id") on update cascade on delete cascade;`,
    );
    this.addSql(
      `alter table "order_line" add constraint "order_line_product_id_foreign" foreign key ("product_id") references "product" ("id") on update cascade;`,
    );
    this.addSql(
      `alter table "product_labels" add constraint "product_labels_product_id_foreign" foreign key ("product_id") references "product" ("id") on update cascade on delete cascade;`,
    );
    this.addSql(
      `alter table "product_labels" add constraint "product_labels_label_id_foreign" foreign key ("label_id") references "label" ("id") on update cascade on delete cascade;`,
    );
  }
}

exports.Migration20240101000000 = Migration20240101000000;
