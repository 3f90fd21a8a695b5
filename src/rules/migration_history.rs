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
    /// The setting that keeps the schemas of this tool out of the framework's comparison of schemas, where there is one.
    #[must_use]
    pub const fn schema_filter(self) -> Option<&'static str> {
        match self {
            Self::Drizzle => Some("set `schemaFilter: [\"public\"]` in drizzle.config.ts"),
            Self::Prisma => Some("list only the application's schemas in `schemas` of the datasource"),
            Self::Alembic => Some("leave `include_schemas` off in env.py, or exclude the schemas in `include_name`"),
            Self::Atlas => Some("set `schemas = [\"public\"]` in atlas.hcl"),
            Self::Liquibase => Some("give `--schemas=public` to diff and generate-changelog"),
            Self::Flyway => Some("set `flyway.schemas=public`"),
            _ => None,
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

/// Whether the rows that a table has on the target come from the framework's migrations and nobody else.
#[must_use]
pub fn is_filled_by_migrations(name: &str) -> bool {
    FILLED.contains(&name)
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
