//! Databases as the tools that people leave Turso with make them: Prisma, Drizzle, Django, Rails, `SQLAlchemy`, .NET.

use super::fixture::{Expectation, Hazard, judge};

const HABITS: &[Hazard] = &[
    Hazard {
        name: "1.4 Prisma: milliseconds, booleans, implicit join tables",
        sql: r#"CREATE TABLE "User" ("id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "email" TEXT NOT NULL, "name" TEXT, "admin" BOOLEAN NOT NULL DEFAULT false,
            "createdAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP, "balance" DECIMAL NOT NULL DEFAULT 0, "big" BIGINT, "avatar" BLOB, "meta" JSONB);
            CREATE UNIQUE INDEX "User_email_key" ON "User"("email");
            CREATE TABLE "Post" ("id" TEXT NOT NULL PRIMARY KEY, "authorId" INTEGER NOT NULL, "publishedAt" DATETIME,
            CONSTRAINT "Post_authorId_fkey" FOREIGN KEY ("authorId") REFERENCES "User" ("id") ON DELETE RESTRICT ON UPDATE CASCADE);
            CREATE TABLE "_PostToUser" ("A" TEXT NOT NULL, "B" INTEGER NOT NULL, CONSTRAINT "_PostToUser_A_fkey" FOREIGN KEY ("A") REFERENCES "Post" ("id") ON DELETE CASCADE ON UPDATE CASCADE);
            CREATE UNIQUE INDEX "_PostToUser_AB_unique" ON "_PostToUser"("A", "B");
            CREATE TABLE "_prisma_migrations" ("id" TEXT PRIMARY KEY NOT NULL, "checksum" TEXT NOT NULL, "finished_at" DATETIME, "applied_steps_count" INTEGER UNSIGNED NOT NULL DEFAULT 0);
            INSERT INTO "User" VALUES (1, 'a@b.c', NULL, 1, 1700000000123, 12.34, 9007199254740993, x'00', '{"a":1}'), (2, 'A@b.c', 'B', 0, 1700000001000, 5, NULL, NULL, NULL);
            INSERT INTO "Post" VALUES ('ckx1', 1, 1700000000124); INSERT INTO "_PostToUser" VALUES ('ckx1', 2);
            INSERT INTO "_prisma_migrations" VALUES ('m1', 'abc', 1700000000000, 1)"#,
        must: &[
            Expectation::Type("User.admin", "boolean"),
            Expectation::Type("User.createdAt", "timestamp with time zone"),
            Expectation::Type("User.balance", "numeric"),
            Expectation::Type("User.meta", "jsonb"),
            Expectation::Holds(
                r#"SELECT id, admin, "createdAt" AT TIME ZONE 'UTC', balance, big, meta FROM public."User" ORDER BY id"#,
                "1|t|2023-11-14 22:13:20.123|12.34|9007199254740993|{\"a\": 1}\n2|f|2023-11-14 22:13:21|5|~|~",
            ),
            Expectation::Constraint(
                "Post",
                "FOREIGN KEY (\"authorId\") REFERENCES \"User\"(id) ON UPDATE CASCADE ON DELETE RESTRICT",
            ),
            Expectation::Index("_PostToUser", "UNIQUE INDEX \"_PostToUser_AB_unique\""),
            Expectation::Holds(
                r#"INSERT INTO public."User"(email) VALUES ('n') RETURNING id, admin, abs(extract(epoch FROM "createdAt" - now())) < 2, balance"#,
                "3|f|t|0",
            ),
            Expectation::Holds("SELECT applied_steps_count FROM public._prisma_migrations", "1"),
        ],
    },
    Hazard {
        name: "1.4 Prisma's milliseconds beside the default's text",
        sql: "CREATE TABLE t43(id INTEGER PRIMARY KEY, at DATETIME DEFAULT CURRENT_TIMESTAMP); INSERT INTO t43 VALUES (1, 1700000000123), (2, '2024-01-01 00:00:00')",
        must: &[
            Expectation::Type("t43.at", "text"),
            Expectation::Holds("SELECT at FROM public.t43 ORDER BY id", "1700000000123\n2024-01-01 00:00:00"),
            Expectation::Finding("type-widened", "t43.at"),
        ],
    },
    Hazard {
        name: "1.4 .NET: texts stay as they are",
        sql: r#"CREATE TABLE "AspNetUsers" ("Id" TEXT NOT NULL CONSTRAINT "PK_AspNetUsers" PRIMARY KEY, "LockoutEnd" TEXT NULL, "Salary" TEXT NOT NULL, "EmailConfirmed" INTEGER NOT NULL,
            "Created" TEXT NOT NULL, "Score" REAL NOT NULL CHECK ("EmailConfirmed" IN (0, 1)));
            CREATE TABLE "__EFMigrationsHistory" ("MigrationId" TEXT NOT NULL CONSTRAINT "PK___EFMigrationsHistory" PRIMARY KEY, "ProductVersion" TEXT NOT NULL);
            INSERT INTO "AspNetUsers" VALUES ('6F1C9BD0-1111-4000-8000-00000000000A', '9999-12-31 23:59:59.9999999+00:00', '0.1234567890123456789012345678', 1, '2024-01-01 00:00:00.1234567', 1);
            INSERT INTO "__EFMigrationsHistory" VALUES ('20240101_Init', '8.0.0')"#,
        must: &[
            Expectation::Type("AspNetUsers.Id", "text"),
            Expectation::Type("AspNetUsers.LockoutEnd", "text"),
            Expectation::Holds(
                r#"SELECT "Id", "LockoutEnd", "Salary", "EmailConfirmed", "Created" FROM public."AspNetUsers""#,
                "6F1C9BD0-1111-4000-8000-00000000000A|9999-12-31 23:59:59.9999999+00:00|0.1234567890123456789012345678|1|2024-01-01 00:00:00.1234567",
            ),
            Expectation::Holds(
                "SELECT conname FROM pg_constraint WHERE conrelid = 'public.\"AspNetUsers\"'::regclass AND contype = 'p'",
                "PK_AspNetUsers",
            ),
            Expectation::Constraint("AspNetUsers", "CHECK ((\"EmailConfirmed\" = ANY (ARRAY[(0)::bigint, (1)::bigint])))"),
        ],
    },
    Hazard {
        name: "1.4 Django",
        sql: r#"CREATE TABLE "auth_user" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "last_login" datetime NULL, "is_superuser" bool NOT NULL, "username" varchar(150) NOT NULL UNIQUE, "date_joined" datetime NOT NULL);
            CREATE TABLE "shop_item" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "price" decimal NOT NULL, "count" integer unsigned NOT NULL CHECK ("count" >= 0), "big" bigint unsigned NOT NULL CHECK ("big" >= 0),
            "data" text NOT NULL CHECK ((JSON_VALID("data") OR "data" IS NULL)), "uid" char(32) NOT NULL UNIQUE, "took" bigint NOT NULL, "ratio" real NOT NULL, "owner_id" integer NOT NULL REFERENCES "auth_user" ("id") DEFERRABLE INITIALLY DEFERRED);
            CREATE UNIQUE INDEX "one_open" ON "shop_item" ("owner_id") WHERE "count" = 0; CREATE INDEX "shop_item_owner_id_1" ON "shop_item" ("owner_id");
            CREATE TABLE "django_migrations" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "app" varchar(255) NOT NULL, "name" varchar(255) NOT NULL, "applied" datetime NOT NULL);
            INSERT INTO "auth_user" VALUES (1, NULL, 1, 'root', '2024-01-02 03:04:05.678901'), (2, '2024-01-02 03:04:05', 0, 'Root', '2024-01-02 03:04:05');
            INSERT INTO "shop_item" VALUES (1, 12.5, 0, 9223372036854775807, '{"a": [1, 2]}', '6f1c9bd011114000800000000000000a', 86400000000, 123456789.123, 1), (2, 0.1, 3, 0, '[]', '6f1c9bd011114000800000000000000b', 1, 0.5, 1);
            INSERT INTO "django_migrations" VALUES (1, 'shop', '0001_initial', '2024-01-02 03:04:05.678901')"#,
        must: &[
            Expectation::Type("auth_user.is_superuser", "boolean"),
            Expectation::Type("auth_user.last_login", "timestamp without time zone"),
            Expectation::Type("auth_user.username", "character varying(150)"),
            Expectation::Type("shop_item.price", "numeric"),
            Expectation::Type("shop_item.uid", "character varying(32)"),
            Expectation::Constraint("shop_item", "CHECK ((count >= 0))"),
            Expectation::Constraint(
                "shop_item",
                "FOREIGN KEY (owner_id) REFERENCES auth_user(id) DEFERRABLE INITIALLY DEFERRED",
            ),
            Expectation::Index(
                "shop_item",
                "UNIQUE INDEX one_open ON public.shop_item USING btree (owner_id) WHERE (count = 0)",
            ),
            Expectation::Holds(
                "SELECT price, big, data, took, ratio FROM public.shop_item ORDER BY id",
                "12.5|9223372036854775807|{\"a\": [1, 2]}|86400000000|123456789.123\n0.1|0|[]|1|0.5",
            ),
            Expectation::Holds(
                "SELECT date_joined FROM public.auth_user ORDER BY id",
                "2024-01-02 03:04:05.678901\n2024-01-02 03:04:05",
            ),
            Expectation::Refuses(
                "INSERT INTO public.shop_item(price, count, big, data, uid, took, ratio, owner_id) VALUES (1, 0, 0, '{}', 'x', 1, 1, 1)",
                "23505",
            ),
        ],
    },
    Hazard {
        name: "1.4 Rails and Laravel",
        sql: r#"CREATE TABLE "users" ("id" integer PRIMARY KEY AUTOINCREMENT NOT NULL, "admin" boolean DEFAULT 0 NOT NULL, "created_at" datetime(6) NOT NULL, "price" decimal(8,2), "opens" time, "meta" json DEFAULT '{}', "flag" boolean);
            CREATE TABLE "ar_internal_metadata" ("key" varchar NOT NULL PRIMARY KEY, "value" varchar); CREATE INDEX "index_users_on_created_at" ON "users" ("created_at");
            CREATE TABLE "laravel" ("id" integer primary key autoincrement not null, "active" tinyint(1) not null default '1', "created_at" datetime, "amount" numeric not null default '0', "kind" varchar check ("kind" in ('a', 'b')) not null, "deleted_at" datetime);
            INSERT INTO "users" VALUES (1, 0, '2024-01-02 03:04:05.678901', 12.5, '2000-01-01 07:30:00', '{"a":1}', 't'), (2, 1, '2024-01-02 03:04:05.1', 100, NULL, '{}', 'f');
            INSERT INTO "ar_internal_metadata" VALUES ('environment', 'test'); INSERT INTO "laravel" VALUES (1, 1, '2024-01-02 03:04:05', 1.5, 'a', NULL)"#,
        must: &[
            Expectation::Type("users.admin", "boolean"),
            Expectation::Type("users.flag", "boolean"),
            Expectation::Type("users.created_at", "timestamp without time zone"),
            Expectation::Type("users.price", "numeric(8,2)"),
            Expectation::Type("users.opens", "text"),
            Expectation::Type("users.meta", "jsonb"),
            Expectation::Type("laravel.active", "boolean"),
            Expectation::Type("laravel.amount", "numeric"),
            Expectation::Holds(
                "SELECT admin, created_at, price, opens, meta, flag FROM public.users WHERE id = 1",
                "f|2024-01-02 03:04:05.678901|12.50|2000-01-01 07:30:00|{\"a\": 1}|t",
            ),
            Expectation::Holds(
                "INSERT INTO public.users(created_at) VALUES ('2024-01-01') RETURNING id, admin, meta",
                "3|f|{}",
            ),
            Expectation::Holds("INSERT INTO public.laravel(kind) VALUES ('b') RETURNING id, active, amount", "2|t|0"),
            Expectation::Refuses("INSERT INTO public.laravel(kind) VALUES ('c')", "23514"),
        ],
    },
    Hazard {
        name: "1.4 Drizzle: integers that are times and booleans only to the application",
        sql: "CREATE TABLE `drizzle_users` (`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL, `email` text NOT NULL, `created_at` integer DEFAULT (unixepoch()) NOT NULL, `seen_ms` integer, `active` integer DEFAULT true NOT NULL, `tags` text DEFAULT '[]', `role` text DEFAULT 'user' NOT NULL);
            CREATE UNIQUE INDEX `drizzle_users_email_unique` ON `drizzle_users` (`email`);
            CREATE TABLE `drizzle_posts` (`id` text PRIMARY KEY NOT NULL, `user_id` integer, FOREIGN KEY (`user_id`) REFERENCES `drizzle_users`(`id`) ON UPDATE no action ON DELETE cascade);
            INSERT INTO drizzle_users VALUES (1, 'a', 1700000000, 1700000000123, 1, '[1]', 'user'), (2, 'b', 1700000001, NULL, 0, '[]', 'admin'); INSERT INTO drizzle_posts VALUES ('p', 1)",
        must: &[
            Expectation::Type("drizzle_users.created_at", "bigint"),
            Expectation::Type("drizzle_users.active", "bigint"),
            Expectation::Type("drizzle_users.tags", "text"),
            Expectation::Finding("advice", "drizzle_users.created_at"),
            Expectation::Finding("advice", "drizzle_users.active"),
            Expectation::Holds(
                "INSERT INTO public.drizzle_users(email) VALUES ('c') RETURNING id, abs(created_at - extract(epoch FROM now())) < 2, active, tags, role",
                "3|t|1|[]|user",
            ),
            Expectation::Constraint("drizzle_posts", "FOREIGN KEY (user_id) REFERENCES drizzle_users(id) ON DELETE CASCADE"),
        ],
    },
];

/// The SQL of these hazards.
pub(super) fn hazards() -> Vec<&'static str> {
    [HABITS].into_iter().flatten().map(|hazard| hazard.sql).collect()
}

#[test]
fn habits_of_orms() {
    judge(HABITS);
}
