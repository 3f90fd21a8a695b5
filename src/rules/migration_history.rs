//! Recognises tables in which frameworks record their migrations, by name and columns. Such rows name the migrations of
//! one database. In another one they would make the framework skip migrations or report an error.

words! {
    /// A framework or tool that records migrations in a table.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    #[allow(missing_docs, reason = "the names are the documentation")]
    pub enum Framework: word {
        Alembic = "Alembic",
        Atlas = "Atlas",
        Cloudflare = "Wrangler (D1)",
        Diesel = "Diesel",
        Django = "Django",
        Doctrine = "Doctrine",
        Drizzle = "Drizzle",
        Ecto = "Ecto",
        EntityFramework = "EF Core",
        Flyway = "Flyway",
        GolangMigrate = "golang-migrate",
        Goose = "goose",
        Knex = "Knex",
        Kysely = "Kysely",
        Laravel = "Laravel",
        Liquibase = "Liquibase",
        MikroOrm = "MikroORM",
        Payload = "Payload",
        Phinx = "Phinx",
        PocketBase = "PocketBase",
        Prisma = "Prisma",
        Rails = "Rails or dbmate",
        Refinery = "refinery",
        SeaOrm = "SeaORM",
        Sequelize = "Sequelize",
        Sqlx = "sqlx",
        Strapi = "Strapi",
        TypeOrm = "TypeORM",
    }
}

impl Framework {
    /// The setting that keeps these schemas of the tool out of the framework's comparison of schemas, where there is
    /// one. The application's tables are in `application`.
    #[must_use]
    pub fn schema_filter(self, application: &str, tool: &[String]) -> Option<String> {
        let listed = tool.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
        let setting = match self {
            Self::Drizzle => format!("set `schemaFilter: [\"{application}\"]` in drizzle.config.ts"),
            Self::Prisma => "list only the application's schemas in `schemas` of the datasource".to_owned(),
            Self::Alembic => {
                "leave `include_schemas` off in env.py, or exclude the schemas in `include_name`".to_owned()
            }
            Self::Atlas => format!("set `schemas = [\"{application}\"]` in atlas.hcl"),
            Self::Liquibase => format!("give `--schemas={application}` to diff and generate-changelog"),
            Self::Flyway => format!("set `flyway.schemas={application}`"),
            Self::MikroOrm => {
                format!("set `schemaGenerator: {{ ignoreSchema: [{listed}] }}` in the configuration of MikroORM")
            }
            _ => return None,
        };
        let word = if tool.len() == 1 { "schema" } else { "schemas" };
        let names = tool.join(", ");
        Some(format!("{}: {setting}, so that it does not compare {word} {names}", self.word()))
    }

    /// The name of the table in which the framework looks for its migrations.
    fn history(self) -> &'static str {
        match self {
            // The names below are in lower case.
            Self::Sequelize => "SequelizeMeta",
            Self::EntityFramework => "__EFMigrationsHistory",
            _ => HISTORIES.iter().find(|(.., framework)| *framework == self).map_or("", |(name, ..)| *name),
        }
    }

    /// What has to be done before the framework's next migration, on a target that has its tables and not its history.
    fn first_step(self) -> Option<String> {
        let history = self.history();
        Some(match self {
            Self::Prisma => "run `prisma migrate resolve --applied 0_init` on the direct URL; `0_init` is the migration \
                             that creates these tables"
                .to_owned(),
            Self::Drizzle => "run `drizzle-kit pull --init`, which marks the pulled migration as applied; a version \
                              without `--init` runs `drizzle-kit pull` and then `drizzle-kit migrate`, which only records \
                              the pulled migration"
                .to_owned(),
            Self::Django => "run `python manage.py migrate --fake`, and only if the tables are those of the models".to_owned(),
            Self::Alembic => "run `alembic stamp head`".to_owned(),
            Self::TypeOrm => "run `typeorm migration:run --fake`".to_owned(),
            Self::EntityFramework => {
                format!("insert the id and the product version of the first migration into `\"{history}\"`")
            }
            Self::Rails => format!(
                "copy the rows of the source's `{history}`; with Rails, then run `bin/rails db:environment:set`"
            ),
            Self::Laravel | Self::Ecto | Self::Phinx => format!("copy the rows of the source's `{history}`"),
            Self::Knex | Self::Sequelize | Self::Kysely | Self::MikroOrm => {
                format!("insert the name of the migration that creates these tables into `{history}`")
            }
            Self::Sqlx => format!(
                "insert a row for the migration that creates these tables into `{history}`: version, description, \
                 success, and the SHA-384 of the file"
            ),
            Self::Diesel => format!("insert the version of the migration that creates these tables into `{history}`"),
            Self::Refinery => "write `IF NOT EXISTS` in the migration that creates these tables".to_owned(),
            Self::GolangMigrate => "run `migrate force V`; V is the version of these tables".to_owned(),
            Self::Goose => format!("insert a row for the version of these tables into `{history}`"),
            Self::Atlas => "run `atlas migrate apply --baseline V`; V is the version of these tables".to_owned(),
            Self::Flyway => "run `flyway baseline -baselineVersion=N`; N is the version of these tables".to_owned(),
            Self::Liquibase => "run `liquibase changelog-sync`".to_owned(),
            Self::Doctrine => "run `migrations:dump-schema`, then `migrations:rollup`".to_owned(),
            Self::Cloudflare | Self::Payload | Self::PocketBase | Self::SeaOrm | Self::Strapi => return None,
        })
    }

    /// What the framework's next migration does on a target whose tables come from a file, and what to do first.
    #[must_use]
    pub fn advice(self) -> String {
        let what = format!(
            "{} has no migration history on the target: its next migration would create tables that exist there",
            self.word()
        );
        match self.first_step() {
            Some(step) => format!("{what}; first {step}"),
            None => format!("{what}; first record there that the migrations of these tables are applied"),
        }
    }
}

/// Name in lower case, columns that it must have in lower case, framework. The first line that fits counts.
const HISTORIES: [(&str, &[&str], Framework); 37] = [
    ("__drizzle_migrations", &["hash"], Framework::Drizzle),
    ("_prisma_migrations", &["checksum", "migration_name"], Framework::Prisma),
    ("django_migrations", &["app", "name"], Framework::Django),
    ("schema_migrations", &["version", "inserted_at"], Framework::Ecto),
    ("schema_migrations", &["version", "dirty"], Framework::GolangMigrate),
    ("schema_migrations", &["version"], Framework::Rails),
    ("ar_internal_metadata", &["key", "value"], Framework::Rails),
    ("alembic_version", &["version_num"], Framework::Alembic),
    ("knex_migrations", &["name", "batch"], Framework::Knex),
    ("knex_migrations_lock", &["is_locked"], Framework::Knex),
    ("sequelizemeta", &["name"], Framework::Sequelize),
    ("sequelizedata", &["name"], Framework::Sequelize),
    ("migrations", &["migration", "batch"], Framework::Laravel),
    ("migrations", &["timestamp", "name"], Framework::TypeOrm),
    ("mikro_orm_migrations", &["name"], Framework::MikroOrm),
    ("__efmigrationshistory", &["migrationid"], Framework::EntityFramework),
    ("__efmigrationslock", &["id"], Framework::EntityFramework),
    ("kysely_migration", &["name"], Framework::Kysely),
    ("kysely_migration_lock", &["is_locked"], Framework::Kysely),
    ("payload_migrations", &["name"], Framework::Payload),
    ("strapi_migrations", &["name"], Framework::Strapi),
    ("strapi_migrations_internal", &["name"], Framework::Strapi),
    ("_sqlx_migrations", &["version", "checksum"], Framework::Sqlx),
    ("__diesel_schema_migrations", &["version"], Framework::Diesel),
    ("seaql_migrations", &["version"], Framework::SeaOrm),
    ("refinery_schema_history", &["version"], Framework::Refinery),
    ("goose_db_version", &["version_id"], Framework::Goose),
    ("atlas_schema_revisions", &["version"], Framework::Atlas),
    ("flyway_schema_history", &["installed_rank"], Framework::Flyway),
    ("databasechangelog", &["author", "filename"], Framework::Liquibase),
    ("databasechangeloglock", &["locked"], Framework::Liquibase),
    ("doctrine_migration_versions", &["version"], Framework::Doctrine),
    ("migration_versions", &["version", "executed_at"], Framework::Doctrine),
    ("phinxlog", &["version"], Framework::Phinx),
    ("d1_migrations", &["name"], Framework::Cloudflare),
    ("_migrations", &["file", "applied"], Framework::PocketBase),
    ("migrations_lock", &["is_locked"], Framework::Knex),
];

/// Tables whose rows migrations insert: Django's list of models and of their permissions. The source has the same list
/// with the numbers that its other rows refer to, so that its rows take the place of those.
const FILLED: [&str; 2] = ["django_content_type", "auth_permission"];

/// Whether the rows that a table has on the target come from the framework's migrations: it is one of Django's, beside
/// the migration history of Django. `histories` are the frameworks whose histories the target has.
#[must_use]
pub fn is_filled_by_migrations(name: &str, histories: &[Framework]) -> bool {
    FILLED.contains(&name) && histories.contains(&Framework::Django)
}

/// Names of tables that may be such, in lower case.
pub fn names() -> impl Iterator<Item = &'static str> {
    HISTORIES.iter().map(|(name, ..)| *name)
}

/// The framework whose migrations a table records, if it is such a table.
pub fn recognise<'a>(name: &str, columns: impl IntoIterator<Item = &'a str>) -> Option<Framework> {
    let name = name.to_ascii_lowercase();
    let columns: Vec<String> = columns.into_iter().map(str::to_ascii_lowercase).collect();
    let has_all = |wanted: &[&str]| wanted.iter().all(|column| columns.iter().any(|one| one == column));
    let found = HISTORIES.iter().find(|(known, wanted, _)| *known == name && has_all(wanted));
    found.map(|(.., framework)| *framework)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_of_migrations_only_beside_their_history() {
        assert!(is_filled_by_migrations("auth_permission", &[Framework::Django]));
        assert!(!is_filled_by_migrations("auth_permission", &[Framework::Knex]));
        assert!(!is_filled_by_migrations("shop_order", &[Framework::Django]));
    }

    #[test]
    fn settings_name_the_schemas_of_the_tool() {
        let schemas = ["turso2neon".to_owned(), "turso2neon_undo".to_owned()];
        let filter = Framework::MikroOrm.schema_filter("public", &schemas).unwrap();
        assert!(
            filter.contains("schemaGenerator: { ignoreSchema: [\"turso2neon\", \"turso2neon_undo\"] }"),
            "{filter}"
        );
        assert!(filter.ends_with("compare schemas turso2neon, turso2neon_undo"), "{filter}");
        let filter = Framework::Drizzle.schema_filter("app", &schemas[..1]).unwrap();
        assert!(filter.contains("schemaFilter: [\"app\"]") && filter.ends_with("schema turso2neon"), "{filter}");
        assert_eq!(Framework::Django.schema_filter("public", &schemas), None);
    }

    #[test]
    fn every_framework_has_advice_with_its_own_table() {
        for framework in Framework::ALL {
            assert!(!framework.history().is_empty(), "{framework:?}");
            let advice = framework.advice();
            assert!(advice.contains(framework.word()) && !advice.contains("``"), "{advice}");
        }
        assert!(Framework::Prisma.advice().contains("`prisma migrate resolve --applied 0_init` on the direct URL"));
    }

    #[test]
    fn names_that_several_frameworks_use_are_told_apart_by_columns() {
        let of = |name: &str, columns: &[&str]| recognise(name, columns.iter().copied());
        assert_eq!(of("migrations", &["id", "migration", "batch"]), Some(Framework::Laravel));
        assert_eq!(of("migrations", &["id", "timestamp", "name"]), Some(Framework::TypeOrm));
        assert_eq!(of("migrations", &["id", "person", "route"]), None);
        assert_eq!(of("schema_migrations", &["version", "inserted_at"]), Some(Framework::Ecto));
        assert_eq!(of("schema_migrations", &["version", "dirty"]), Some(Framework::GolangMigrate));
        assert_eq!(of("schema_migrations", &["version"]), Some(Framework::Rails));
        assert_eq!(of("SequelizeMeta", &["name"]), Some(Framework::Sequelize));
        assert_eq!(of("__EFMigrationsHistory", &["MigrationId", "ProductVersion"]), Some(Framework::EntityFramework));
        assert_eq!(of("django_content_type", &["id", "app_label", "model"]), None);
    }
}
