-- Bookings of rooms as Laravel migrates them: varchar without a length, tinyint(1), checks for enums, soft deletes.
CREATE TABLE "migrations" ("id" integer primary key autoincrement not null, "migration" varchar not null, "batch" integer not null);
CREATE TABLE "users" ("id" integer primary key autoincrement not null, "name" varchar not null, "email" varchar not null, "email_verified_at" datetime, "password" varchar not null, "remember_token" varchar, "created_at" datetime, "updated_at" datetime);
CREATE UNIQUE INDEX "users_email_unique" on "users" ("email");
CREATE TABLE "rooms" ("id" integer primary key autoincrement not null, "code" varchar not null, "floor" integer not null default '0', "price" numeric not null, "has_view" tinyint(1) not null default '0', "equipment" text, "created_at" datetime, "updated_at" datetime, "deleted_at" datetime);
CREATE UNIQUE INDEX "rooms_code_unique" on "rooms" ("code");
CREATE TABLE "bookings" ("id" integer primary key autoincrement not null, "user_id" integer not null, "room_id" integer not null, "status" varchar check ("status" in ('open', 'confirmed', 'cancelled')) not null default 'open', "starts_on" date not null, "ends_on" date not null, "guests" integer not null default '1', "created_at" datetime, foreign key("user_id") references "users"("id") on delete cascade, foreign key("room_id") references "rooms"("id"));
CREATE INDEX "bookings_room_id_starts_on_index" on "bookings" ("room_id", "starts_on");
CREATE TABLE "cache" ("key" varchar not null, "value" text not null, "expiration" integer not null, primary key ("key"));
CREATE TABLE "jobs" ("id" integer primary key autoincrement not null, "queue" varchar not null, "payload" text not null, "attempts" integer not null, "reserved_at" integer, "available_at" integer not null, "created_at" integer not null);
CREATE INDEX "jobs_queue_index" on "jobs" ("queue");
CREATE TABLE "failed_jobs" ("id" integer primary key autoincrement not null, "uuid" varchar not null, "exception" text not null, "failed_at" datetime not null default CURRENT_TIMESTAMP);
INSERT INTO "migrations"("migration", "batch") VALUES ('0001_01_01_000000_create_users_table', 1), ('2024_05_02_120000_create_rooms_table', 2), ('2024_05_02_120100_create_bookings_table', 2);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 35)
INSERT INTO "users"("name", "email", "email_verified_at", "password", "remember_token", "created_at", "updated_at") SELECT 'Guest O''Hara ' || i, 'guest' || i || '@rooms.example', iif(i % 4, '2024-05-03 10:00:00', NULL), '$2y$12$' || hex(i * 65537), NULL, '2024-05-02 12:05:00', '2024-05-02 12:05:00' FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 18)
INSERT INTO "rooms"("code", "floor", "price", "has_view", "equipment", "created_at", "deleted_at") SELECT printf('%c%02d', char(65 + i % 3), i), i % 3 - 1, iif(i % 2, 89, 74.5), i % 2, iif(i % 3, '["desk","lamp"]', NULL), '2024-05-02 12:06:00', iif(i % 9, NULL, '2024-06-01 00:00:00') FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 120)
INSERT INTO "bookings"("user_id", "room_id", "status", "starts_on", "ends_on", "guests", "created_at") SELECT i % 35 + 1, i % 18 + 1, CASE i % 3 WHEN 0 THEN 'open' WHEN 1 THEN 'confirmed' ELSE 'cancelled' END, date('2024-07-01', '+' || i || ' days'), date('2024-07-03', '+' || i || ' days'), i % 4 + 1, '2024-05-05 05:05:05' FROM n;
INSERT INTO "cache" VALUES ('settings', 'a:1:{s:5:"theme";s:4:"dark";}', 1999999999), ('pepper', 'b:0;', 1720000000);
INSERT INTO "jobs"("queue", "payload", "attempts", "available_at", "created_at") VALUES ('default', '{"displayName":"SendConfirmation","data":{"booking":7}}', 0, 1720000100, 1720000000);
INSERT INTO "failed_jobs"("uuid", "exception") VALUES ('0f8fad5b-d9cb-469f-a165-70867728950e', 'TimeoutException: 30 s');
