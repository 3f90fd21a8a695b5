-- A forum as ActiveRecord's schema has it: datetime(6), boolean as 0 and 1, decimal(10,2), polymorphic references.
CREATE TABLE "schema_migrations" ("version" varchar NOT NULL PRIMARY KEY);
CREATE TABLE "ar_internal_metadata" ("key" varchar NOT NULL PRIMARY KEY, "value" varchar, "created_at" datetime(6) NOT NULL, "updated_at" datetime(6) NOT NULL);
CREATE TABLE "users" ("id" integer PRIMARY KEY AUTOINCREMENT NOT NULL, "handle" varchar COLLATE "NOCASE" NOT NULL, "email" varchar(255) DEFAULT '' NOT NULL, "admin" boolean DEFAULT 0 NOT NULL, "karma" integer DEFAULT 0, "credit" decimal(10,2) DEFAULT 0.0 NOT NULL, "born_on" date, "preferences" json, "created_at" datetime(6) NOT NULL, "updated_at" datetime(6) NOT NULL);
CREATE UNIQUE INDEX "index_users_on_handle" ON "users" ("handle");
CREATE UNIQUE INDEX "index_users_on_lower_email" ON "users" (lower(email));
CREATE TABLE "boards" ("id" integer PRIMARY KEY AUTOINCREMENT NOT NULL, "title" varchar NOT NULL, "parent_id" integer, "position" float DEFAULT 1.5, "opens_at" time, CONSTRAINT "fk_boards_parent" FOREIGN KEY ("parent_id") REFERENCES "boards" ("id"));
CREATE TABLE "topics" ("id" integer PRIMARY KEY AUTOINCREMENT NOT NULL, "board_id" integer NOT NULL, "user_id" integer NOT NULL, "title" varchar(160) NOT NULL, "pinned" boolean DEFAULT FALSE, "posts_count" integer DEFAULT 0 NOT NULL, "deleted_at" datetime(6), "created_at" datetime(6) DEFAULT CURRENT_TIMESTAMP NOT NULL, CONSTRAINT "fk_topics_board" FOREIGN KEY ("board_id") REFERENCES "boards" ("id") ON DELETE CASCADE, CONSTRAINT "fk_topics_user" FOREIGN KEY ("user_id") REFERENCES "users" ("id"));
CREATE INDEX "index_topics_on_board_id" ON "topics" ("board_id");
CREATE INDEX "index_topics_kept" ON "topics" ("created_at" DESC) WHERE deleted_at IS NULL;
CREATE TABLE "posts" ("id" integer PRIMARY KEY AUTOINCREMENT NOT NULL, "topic_id" integer NOT NULL, "user_id" integer, "body" text, "ip" blob, "created_at" datetime(6) NOT NULL, CONSTRAINT "fk_posts_topic" FOREIGN KEY ("topic_id") REFERENCES "topics" ("id"));
CREATE INDEX "index_posts_on_topic_id_and_created_at" ON "posts" ("topic_id", "created_at");
CREATE TABLE "attachments" ("id" integer PRIMARY KEY AUTOINCREMENT NOT NULL, "record_type" varchar NOT NULL, "record_id" bigint NOT NULL, "byte_size" bigint NOT NULL, "checksum" varchar, "service_name" varchar DEFAULT 'local' NOT NULL);
CREATE INDEX "index_attachments_on_record" ON "attachments" ("record_type", "record_id");
CREATE VIEW "active_topics" AS SELECT t.id, t.title, u.handle, count(p.id) AS posts FROM topics t JOIN users u ON u.id = t.user_id LEFT JOIN posts p ON p.topic_id = t.id WHERE t.deleted_at IS NULL GROUP BY t.id, t.title, u.handle;
CREATE TRIGGER "posts_counter" AFTER INSERT ON "posts" BEGIN UPDATE topics SET posts_count = posts_count + 1 WHERE id = NEW.topic_id; END;
INSERT INTO "schema_migrations" VALUES ('20240110081530'), ('20240212104500'), ('20240301000001');
INSERT INTO "ar_internal_metadata" VALUES ('environment', 'production', '2024-01-10 08:15:30.123456', '2024-01-10 08:15:30.123456');
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50)
INSERT INTO "users"("handle", "email", "admin", "karma", "credit", "born_on", "preferences", "created_at", "updated_at")
  SELECT iif(i % 2, 'Member', 'member') || i, 'Member' || i || '@forum.example', i = 1, iif(i % 8, i * i - 300, NULL), i * 1.25, iif(i % 3, printf('199%d-0%d-2%d', i % 10, i % 9 + 1, i % 9), NULL),
  iif(i % 4, NULL, '{"digest": "weekly", "muted": [' || i || ']}'), printf('2024-01-%02d 10:00:00.%06d', i % 28 + 1, i * 99), '2024-04-01 00:00:00.000000' FROM n;
INSERT INTO "boards"("title", "parent_id", "position", "opens_at") VALUES ('All', NULL, 1.0, NULL), ('Questions', 1, 1.5, '08:00:00'), ('Announcements', 1, 2.25, '09:30:00.500000'), ('Off topic', 1, 1e3, NULL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
INSERT INTO "topics"("board_id", "user_id", "title", "pinned", "deleted_at", "created_at") SELECT i % 4 + 1, i, 'How do I do ' || i || ' things?', i % 10 = 0, iif(i % 9, NULL, '2024-04-05 06:07:08.000900'), printf('2024-03-%02d 11:12:13', i % 28 + 1) FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
INSERT INTO "posts"("topic_id", "user_id", "body", "ip", "created_at") SELECT i % 40 + 1, iif(i % 12, i % 50 + 1, NULL), 'Answer ' || i || ': it depends 🙂', iif(i % 5, NULL, x'7f000001'), printf('2024-03-%02d %02d:00:00.%06d', i % 28 + 1, i % 24, i) FROM n;
INSERT INTO "attachments"("record_type", "record_id", "byte_size", "checksum") SELECT 'Post', id, id * 4294967296, printf('%016x==', id) FROM "posts" WHERE id % 30 = 0;
