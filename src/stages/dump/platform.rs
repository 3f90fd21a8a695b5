//! A database that is named instead of addressed: the Platform API says where it is, and gives a token to read it.

use crate::{
    context::Context,
    error::{Error, Kind, Result, ResultExt},
    model::Stage,
    secret::Secret,
    source::turso_api::{PlatformSettings, TursoApi},
};

/// Where the named database is, and how to read it.
pub struct Reached {
    /// Its URL.
    pub source: Secret<String>,
    /// A token that may read it for an hour.
    pub token: Secret<String>,
    /// Whether it is of the newer (MVCC) form.
    pub is_mvcc: bool,
}

/// Asks the Platform API for the database; with `block`, makes it take no writes first.
///
/// # Errors
/// `Usage` for a name that isn't there; `Source*` kinds; `Interrupted`.
pub async fn reach(ctx: &Context, settings: &PlatformSettings, block: bool) -> Result<Reached> {
    let platform = TursoApi::new(ctx, settings)?;
    let found = platform.find().await?;
    if found.blocks_reads {
        return Err(Error::new(Kind::SourceDenied, "the database refuses reads, by its configuration")
            .with_hint("allow reads with `turso db config` or in the dashboard, then run the same command again"));
    }
    if let Some(usage) = platform.usage().await? {
        ctx.out.info(usage);
    }
    if block && found.blocks_writes {
        ctx.out.info("the database takes no writes already");
    } else if block {
        platform.block_writes(true).await?;
        ctx.out.warn(format!(
            "{} takes no writes from now on; `turso2neon dump --unblock-writes` undoes it",
            settings.database
        ));
    }
    let token = platform.reading_token().await?;
    Ok(Reached { source: Secret::new(found.url), token, is_mvcc: found.is_mvcc })
}

/// Makes the database take writes again.
///
/// # Errors
/// As [`reach`].
pub async fn unblock_writes(ctx: &Context, settings: &PlatformSettings) -> Result<()> {
    let unblock = async { TursoApi::new(ctx, settings)?.block_writes(false).await };
    unblock.await.in_stage(Stage::Dump)
}
