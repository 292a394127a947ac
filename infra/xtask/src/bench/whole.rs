//! Everything but archives: what needs the functions in release mode.

use super::{builds, cost, function, history, local, requests, told};
use crate::build::{self, say};
use anyhow::Result;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// A tenth of the samples: to see that it runs. The README stays as it is.
    pub quick: bool,
    /// Build times too: they take many minutes.
    pub builds: bool,
}

impl Options {
    /// So many samples, or a tenth of them.
    pub(super) fn samples(self, many: usize) -> usize {
        if self.quick { many.div_ceil(10) } else { many }
    }
}

/// See the module.
pub async fn bench(options: Options) -> Result<()> {
    say("building the functions in release mode; the first time takes minutes");
    build::release()?;
    say("counting requests and state transitions");
    let mut groups = vec![requests::group().await?, cost::group().await?];
    say("a function by itself");
    groups.push(function::group(options).await?);
    say("histories");
    groups.push(history::group(options).await?);
    say("the local stack");
    groups.push(local::group(options).await?);
    if options.builds {
        say("builds");
        groups.push(builds::group()?);
    }
    told("figures", &groups, options.quick)
}
