-- A web shop as Drizzle migrates it: backquoted names, one statement after another, times as integers.
CREATE TABLE `__drizzle_migrations` (
	id SERIAL PRIMARY KEY,
	hash text NOT NULL,
	created_at numeric
);
CREATE TABLE `customer` (
	`id` text PRIMARY KEY NOT NULL,
	`email` text NOT NULL,
	`name` text(120),
	`is_company` integer DEFAULT false NOT NULL,
	`settings` text DEFAULT '{}' NOT NULL,
	`created_at` integer DEFAULT (unixepoch()) NOT NULL,
	`seen_at` integer
);
CREATE UNIQUE INDEX `customer_email_unique` ON `customer` (`email`);
CREATE TABLE `product` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`slug` text NOT NULL,
	`title` text NOT NULL,
	`price_cents` integer NOT NULL,
	`weight_kg` real,
	`state` text DEFAULT 'draft' NOT NULL,
	`picture` blob,
	CONSTRAINT "product_price_check" CHECK("product"."price_cents" >= 0),
	CONSTRAINT "product_state_check" CHECK("product"."state" IN ('draft', 'listed', 'gone'))
);
CREATE UNIQUE INDEX `product_slug_unique` ON `product` (`slug`);
CREATE INDEX `product_listed_idx` ON `product` (`title`) WHERE "product"."state" = 'listed';
CREATE TABLE `order` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`customer_id` text NOT NULL,
	`placed_at` integer NOT NULL,
	`paid` integer DEFAULT 0 NOT NULL,
	`remark` text,
	FOREIGN KEY (`customer_id`) REFERENCES `customer`(`id`) ON UPDATE no action ON DELETE cascade
);
CREATE INDEX `order_customer_idx` ON `order` (`customer_id`,`placed_at`);
CREATE TABLE `order_line` (
	`order_id` integer NOT NULL,
	`product_id` integer NOT NULL,
	`quantity` integer DEFAULT 1 NOT NULL,
	`price_cents` integer NOT NULL,
	PRIMARY KEY(`order_id`, `product_id`),
	FOREIGN KEY (`order_id`) REFERENCES `order`(`id`) ON UPDATE no action ON DELETE cascade,
	FOREIGN KEY (`product_id`) REFERENCES `product`(`id`) ON UPDATE no action ON DELETE restrict
);
CREATE VIEW `order_total` AS
	SELECT "order_id", sum("quantity" * "price_cents") AS "cents", count(*) AS "lines" FROM "order_line" GROUP BY "order_id";
INSERT INTO `__drizzle_migrations` VALUES (NULL, '3f1c0a', 1719826800000), (NULL, '77be12', 1722505200000);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60)
INSERT INTO `customer` SELECT printf('cus_%08d', i), 'customer' || i || '@shop.example', iif(i % 7, 'Customer ' || i, NULL),
	i % 5 = 0, iif(i % 3, '{}', json_object('language', 'en', 'theme', iif(i % 2, 'dark', 'light'))),
	1719826800 + i * 3600, iif(i % 4, 1722505200 + i * 61, NULL) FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
INSERT INTO `product`(`slug`, `title`, `price_cents`, `weight_kg`, `state`, `picture`)
	SELECT 'thing-' || i, 'Thing № ' || i, i * 199, iif(i % 6, i / 8.0, NULL),
	CASE i % 3 WHEN 0 THEN 'draft' WHEN 1 THEN 'listed' ELSE 'gone' END, iif(i % 10, NULL, x'89504e470d0a1a0a') FROM n;
DELETE FROM `product` WHERE `id` IN (39, 40);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150)
INSERT INTO `order`(`customer_id`, `placed_at`, `paid`, `remark`) SELECT printf('cus_%08d', i % 60 + 1), 1719900000 + i * 977,
	i % 8 > 0, iif(i % 11, NULL, 'Leave it at the door' || char(10) || 'and ring.') FROM n;
INSERT INTO `order_line` SELECT o.id, p.id, (o.id + p.id) % 4 + 1, p.price_cents FROM `order` o
	JOIN `product` p ON p.id % 19 = o.id % 19;
