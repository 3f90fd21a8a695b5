module.exports.Tables1700000000000 = class {
  name = "Tables1700000000000";

  async up(queryRunner) {
    await queryRunner.query(
      `CREATE TABLE "category" ("id" SERIAL NOT NULL, "name" character varying(80) NOT NULL, "parentId" integer, CONSTRAINT "UQ_23c05c292c439d77b0de816b500" UNIQUE ("name"), CONSTRAINT "PK_9c4e4a89e3674fc9f382d733f03" PRIMARY KEY ("id"))`,
    );
    await queryRunner.query(
      `CREATE TABLE "label" ("id" SERIAL NOT NULL, "name" character varying(40) NOT NULL, CONSTRAINT "UQ_972f95f212512a35e838562ea30" UNIQUE ("name"), CONSTRAINT "PK_5692ac5348861d3776eb5843672" PRIMARY KEY ("id"))`,
    );
    await queryRunner.query(
      `CREATE TABLE "product" ("id" uuid NOT NULL DEFAULT uuid_generate_v4(), "sku" character varying(20) NOT NULL, "name" text NOT NULL, "price" numeric(12,2) NOT NULL, "weight" double precision, "stock" integer NOT NULL DEFAULT '0', "attributes" jsonb NOT NULL, "released" date, "categoryId" integer NOT NULL, "changedAt" TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now(), CONSTRAINT "UQ_34f6ca1cd897cc926bdcca1ca39" UNIQUE ("sku"), CONSTRAINT "PK_bebc9158e480b949565b4dc7a82" PRIMARY KEY ("id"))`,
    );
    await queryRunner.query(
      `CREATE INDEX "IDX_355bda5d3adf39665aed89689d" ON "product" ("categoryId", "released") `,
    );
    await queryRunner.query(
      `CREATE INDEX "IDX_22cc43e9a74d7498546e9a63e7" ON "product" ("name") `,
    );
    await queryRunner.query(
      `CREATE TYPE "public"."customer_level_enum" AS ENUM('basic', 'gold')`,
    );
    await queryRunner.query(
      `CREATE TABLE "customer" ("id" SERIAL NOT NULL, "email" character varying NOT NULL, "name" character varying(100) NOT NULL, "level" "public"."customer_level_enum" NOT NULL DEFAULT 'basic', "active" boolean NOT NULL DEFAULT true, "newsletter" boolean, "balance" numeric(12,2) NOT NULL DEFAULT '0', "settings" text, "avatar" bytea, "born" date, "visits" bigint NOT NULL DEFAULT '0', "seenAt" TIMESTAMP, "createdAt" TIMESTAMP NOT NULL DEFAULT now(), "note" text, CONSTRAINT "UQ_fdb2f3ad8115da4c7718109a6eb" UNIQUE ("email"), CONSTRAINT "PK_a7a13f4cacb744524e44dfdad32" PRIMARY KEY ("id"))`,
    );
    await queryRunner.query(
      `CREATE TABLE "order" ("id" SERIAL NOT NULL, "customerId" integer NOT NULL, "number" integer NOT NULL, "reference" uuid, "placedAt" TIMESTAMP WITH TIME ZONE NOT NULL, "total" numeric(10,4) NOT NULL, CONSTRAINT "UQ_a698ce5a132a8d2ed4be89d8fd8" UNIQUE ("reference"), CONSTRAINT "UQ_e1097e8da17908317dc3fa61230" UNIQUE ("customerId", "number"), CONSTRAINT "PK_1031171c13130102495201e3e20" PRIMARY KEY ("id"))`,
    );
    await queryRunner.query(
      `CREATE TABLE "order_line" ("id" SERIAL NOT NULL, "orderId" integer NOT NULL, "productId" uuid NOT NULL, "quantity" integer NOT NULL DEFAULT '1', CONSTRAINT "PK_01a7c973d9f30479647e44f9892" PRIMARY KEY ("id"))`,
    );
    await queryRunner.query(
      `CREATE TABLE "product_labels_label" ("productId" uuid NOT NULL, "labelId" integer NOT NULL, CONSTRAINT "PK_364623dffd0243d74fee194bd0b" PRIMARY KEY ("productId", "labelId"))`,
    );
    await queryRunner.query(
      `CREATE INDEX "IDX_07f2e9a440195d1ff33a102e1d" ON "product_labels_label" ("productId") `,
    );
    await queryRunner.query(
      `CREATE INDEX "IDX_2495eee62735f5aff7d187ac47" ON "product_labels_label" ("labelId") `,
    );
    await queryRunner.query(
      `ALTER TABLE "category" ADD CONSTRAINT "FK_d5456fd7e4c4866fec8ada1fa10" FOREIGN KEY ("parentId") REFERENCES "category"("id") ON DELETE RESTRICT ON UPDATE NO ACTION`,
    );
    await queryRunner.query(
      `ALTER TABLE "product" ADD CONSTRAINT "FK_ff0c0301a95e517153df97f6812" FOREIGN KEY ("categoryId") REFERENCES "category"("id") ON DELETE NO ACTION ON UPDATE NO ACTION`,
    );
    await queryRunner.query(
      `ALTER TABLE "order" ADD CONSTRAINT "FK_124456e637cca7a415897dce659" FOREIGN KEY ("customerId") REFERENCES "customer"("id") ON DELETE CASCADE ON UPDATE NO ACTION`,
    );
    await queryRunner.query(
      `ALTER TABLE "order_line" ADD CONSTRAINT "FK_239cfca2a55b98b90b6bef2e44f" FOREIGN KEY ("orderId") REFERENCES "order"("id") ON DELETE CASCADE ON UPDATE NO ACTION`,
    );
    await queryRunner.query(
      `ALTER TABLE "order_line" ADD CONSTRAINT "FK_8deef19c65f771528352b0f5a55" FOREIGN KEY ("productId") REFERENCES "product"("id") ON DELETE NO ACTION ON UPDATE NO ACTION`,
    );
    await queryRunner.query(
      `ALTER TABLE "product_labels_label" ADD CONSTRAINT "FK_07f2e9a440195d1ff33a102e1d5" FOREIGN KEY ("productId") REFERENCES "product"("id") ON DELETE CASCADE ON UPDATE CASCADE`,
    );
    await queryRunner.query(
      `ALTER TABLE "product_labels_label" ADD CONSTRAINT "FK_2495eee62735f5aff7d187ac47a" FOREIGN KEY ("labelId") REFERENCES "label"("id") ON DELETE CASCADE ON UPDATE CASCADE`,
    );
  }
};
