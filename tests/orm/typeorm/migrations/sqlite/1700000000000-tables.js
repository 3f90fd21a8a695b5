module.exports.Tables1700000000000 = class {
  name = "Tables1700000000000";

  async up(queryRunner) {
    await queryRunner.query(
      `CREATE TABLE "category" ("id" integer PRIMARY KEY AUTOINCREMENT NOT NULL, "name" varchar(80) NOT NULL, "parentId" integer, CONSTRAINT "UQ_23c05c292c439d77b0de816b500" UNIQUE ("name"))`,
    );
    await queryRunner.query(
      `CREATE TABLE "label" ("id" integer PRIMARY KEY AUTOINCREMENT NOT NULL, "name" varchar(40) NOT NULL, CONSTRAINT "UQ_972f95f212512a35e838562ea30" UNIQUE ("name"))`,
    );
    await queryRunner.query(
      `CREATE TABLE "product" ("id" varchar PRIMARY KEY NOT NULL, "sku" varchar(20) NOT NULL, "name" text NOT NULL, "price" decimal(12,2) NOT NULL, "weight" double precision, "stock" integer NOT NULL DEFAULT (0), "attributes" text NOT NULL, "released" date, "categoryId" integer NOT NULL, "changedAt" datetime NOT NULL DEFAULT (datetime('now')), CONSTRAINT "UQ_34f6ca1cd897cc926bdcca1ca39" UNIQUE ("sku"))`,
    );
    await queryRunner.query(
      `CREATE INDEX "IDX_355bda5d3adf39665aed89689d" ON "product" ("categoryId", "released") `,
    );
    await queryRunner.query(
      `CREATE INDEX "IDX_22cc43e9a74d7498546e9a63e7" ON "product" ("name") `,
    );
    await queryRunner.query(
      `CREATE TABLE "customer" ("id" integer PRIMARY KEY AUTOINCREMENT NOT NULL, "email" varchar NOT NULL, "name" varchar(100) NOT NULL, "level" varchar CHECK( "level" IN ('basic','gold') ) NOT NULL DEFAULT ('basic'), "active" boolean NOT NULL DEFAULT (1), "newsletter" boolean, "balance" decimal(12,2) NOT NULL DEFAULT (0), "settings" text, "avatar" blob, "born" date, "visits" bigint NOT NULL DEFAULT (0), "seenAt" datetime, "createdAt" datetime NOT NULL DEFAULT (datetime('now')), "note" text, CONSTRAINT "UQ_fdb2f3ad8115da4c7718109a6eb" UNIQUE ("email"))`,
    );
    await queryRunner.query(
      `CREATE TABLE "order" ("id" integer PRIMARY KEY AUTOINCREMENT NOT NULL, "customerId" integer NOT NULL, "number" integer NOT NULL, "reference" varchar, "placedAt" datetime NOT NULL, "total" decimal(10,4) NOT NULL, CONSTRAINT "UQ_a698ce5a132a8d2ed4be89d8fd8" UNIQUE ("reference"), CONSTRAINT "UQ_e1097e8da17908317dc3fa61230" UNIQUE ("customerId", "number"))`,
    );
    await queryRunner.query(
      `CREATE TABLE "order_line" ("id" integer PRIMARY KEY AUTOINCREMENT NOT NULL, "orderId" integer NOT NULL, "productId" varchar NOT NULL, "quantity" integer NOT NULL DEFAULT (1))`,
    );
    await queryRunner.query(
      `CREATE TABLE "product_labels_label" ("productId" varchar NOT NULL, "labelId" integer NOT NULL, PRIMARY KEY ("productId", "labelId"))`,
    );
    await queryRunner.query(
      `CREATE INDEX "IDX_07f2e9a440195d1ff33a102e1d" ON "product_labels_label" ("productId") `,
    );
    await queryRunner.query(
      `CREATE INDEX "IDX_2495eee62735f5aff7d187ac47" ON "product_labels_label" ("labelId") `,
    );
    await queryRunner.query(
      `CREATE TABLE "temporary_category" ("id" integer PRIMARY KEY AUTOINCREMENT NOT NULL, "name" varchar(80) NOT NULL, "parentId" integer, CONSTRAINT "UQ_23c05c292c439d77b0de816b500" UNIQUE ("name"), CONSTRAINT "FK_d5456fd7e4c4866fec8ada1fa10" FOREIGN KEY ("parentId") REFERENCES "category" ("id") ON DELETE RESTRICT ON UPDATE NO ACTION)`,
    );
    await queryRunner.query(
      `INSERT INTO "temporary_category"("id", "name", "parentId") SELECT "id", "name", "parentId" FROM "category"`,
    );
    await queryRunner.query(
      `DROP TABLE "category"`,
    );
    await queryRunner.query(
      `ALTER TABLE "temporary_category" RENAME TO "category"`,
    );
    await queryRunner.query(
      `DROP INDEX "IDX_355bda5d3adf39665aed89689d"`,
    );
    await queryRunner.query(
      `DROP INDEX "IDX_22cc43e9a74d7498546e9a63e7"`,
    );
    await queryRunner.query(
      `CREATE TABLE "temporary_product" ("id" varchar PRIMARY KEY NOT NULL, "sku" varchar(20) NOT NULL, "name" text NOT NULL, "price" decimal(12,2) NOT NULL, "weight" double precision, "stock" integer NOT NULL DEFAULT (0), "attributes" text NOT NULL, "released" date, "categoryId" integer NOT NULL, "changedAt" datetime NOT NULL DEFAULT (datetime('now')), CONSTRAINT "UQ_34f6ca1cd897cc926bdcca1ca39" UNIQUE ("sku"), CONSTRAINT "FK_ff0c0301a95e517153df97f6812" FOREIGN KEY ("categoryId") REFERENCES "category" ("id") ON DELETE NO ACTION ON UPDATE NO ACTION)`,
    );
    await queryRunner.query(
      `INSERT INTO "temporary_product"("id", "sku", "name", "price", "weight", "stock", "attributes", "released", "categoryId", "changedAt") SELECT "id", "sku", "name", "price", "weight", "stock", "attributes", "released", "categoryId", "changedAt" FROM "product"`,
    );
    await queryRunner.query(
      `DROP TABLE "product"`,
    );
    await queryRunner.query(
      `ALTER TABLE "temporary_product" RENAME TO "product"`,
    );
    await queryRunner.query(
      `CREATE INDEX "IDX_355bda5d3adf39665aed89689d" ON "product" ("categoryId", "released") `,
    );
    await queryRunner.query(
      `CREATE INDEX "IDX_22cc43e9a74d7498546e9a63e7" ON "product" ("name") `,
    );
    await queryRunner.query(
      `CREATE TABLE "temporary_order" ("id" integer PRIMARY KEY AUTOINCREMENT NOT NULL, "customerId" integer NOT NULL, "number" integer NOT NULL, "reference" varchar, "placedAt" datetime NOT NULL, "total" decimal(10,4) NOT NULL, CONSTRAINT "UQ_a698ce5a132a8d2ed4be89d8fd8" UNIQUE ("reference"), CONSTRAINT "UQ_e1097e8da17908317dc3fa61230" UNIQUE ("customerId", "number"), CONSTRAINT "FK_124456e637cca7a415897dce659" FOREIGN KEY ("customerId") REFERENCES "customer" ("id") ON DELETE CASCADE ON UPDATE NO ACTION)`,
    );
    await queryRunner.query(
      `INSERT INTO "temporary_order"("id", "customerId", "number", "reference", "placedAt", "total") SELECT "id", "customerId", "number", "reference", "placedAt", "total" FROM "order"`,
    );
    await queryRunner.query(
      `DROP TABLE "order"`,
    );
    await queryRunner.query(
      `ALTER TABLE "temporary_order" RENAME TO "order"`,
    );
    await queryRunner.query(
      `CREATE TABLE "temporary_order_line" ("id" integer PRIMARY KEY AUTOINCREMENT NOT NULL, "orderId" integer NOT NULL, "productId" varchar NOT NULL, "quantity" integer NOT NULL DEFAULT (1), CONSTRAINT "FK_239cfca2a55b98b90b6bef2e44f" FOREIGN KEY ("orderId") REFERENCES "order" ("id") ON DELETE CASCADE ON UPDATE NO ACTION, CONSTRAINT "FK_8deef19c65f771528352b0f5a55" FOREIGN KEY ("productId") REFERENCES "product" ("id") ON DELETE NO ACTION ON UPDATE NO ACTION)`,
    );
    await queryRunner.query(
      `INSERT INTO "temporary_order_line"("id", "orderId", "productId", "quantity") SELECT "id", "orderId", "productId", "quantity" FROM "order_line"`,
    );
    await queryRunner.query(
      `DROP TABLE "order_line"`,
    );
    await queryRunner.query(
      `ALTER TABLE "temporary_order_line" RENAME TO "order_line"`,
    );
    await queryRunner.query(
      `DROP INDEX "IDX_07f2e9a440195d1ff33a102e1d"`,
    );
    await queryRunner.query(
      `DROP INDEX "IDX_2495eee62735f5aff7d187ac47"`,
    );
    await queryRunner.query(
      `CREATE TABLE "temporary_product_labels_label" ("productId" varchar NOT NULL, "labelId" integer NOT NULL, CONSTRAINT "FK_07f2e9a440195d1ff33a102e1d5" FOREIGN KEY ("productId") REFERENCES "product" ("id") ON DELETE CASCADE ON UPDATE CASCADE, CONSTRAINT "FK_2495eee62735f5aff7d187ac47a" FOREIGN KEY ("labelId") REFERENCES "label" ("id") ON DELETE CASCADE ON UPDATE CASCADE, PRIMARY KEY ("productId", "labelId"))`,
    );
    await queryRunner.query(
      `INSERT INTO "temporary_product_labels_label"("productId", "labelId") SELECT "productId", "labelId" FROM "product_labels_label"`,
    );
    await queryRunner.query(
      `DROP TABLE "product_labels_label"`,
    );
    await queryRunner.query(
      `ALTER TABLE "temporary_product_labels_label" RENAME TO "product_labels_label"`,
    );
    await queryRunner.query(
      `CREATE INDEX "IDX_07f2e9a440195d1ff33a102e1d" ON "product_labels_label" ("productId") `,
    );
    await queryRunner.query(
      `CREATE INDEX "IDX_2495eee62735f5aff7d187ac47" ON "product_labels_label" ("labelId") `,
    );
  }
};
