//! What every function is given: records, secrets, clock, configuration.
//!
//! Promise: made once a process; AWS clients are made here and nowhere else.

use crate::{Clock, Config, Secrets};
use records::Records;
use std::sync::Arc;

/// See the module.
#[derive(Debug, Clone)]
pub struct Cloud {
    /// All records.
    pub records: Records,
    /// Secrets.
    pub secrets: Secrets,
    /// The time.
    pub clock: Clock,
    /// The configuration.
    pub config: Arc<Config>,
}

impl Cloud {
    /// From the environment.
    pub async fn from_env() -> Result<Self, crate::config::BadVariable> {
        let config = Config::from_env()?;
        let aws = aws_config().await;
        let dynamo = aws_sdk_dynamodb::Client::new(&aws);
        let records = Records::new(dynamo, &config.table, &config.secrets_table);
        let secrets = Secrets::new(
            aws_sdk_kms::Client::new(&aws),
            &config.key_id,
            records.clone(),
        );
        Ok(Self {
            records,
            secrets,
            clock: Clock::System,
            config: Arc::new(config),
        })
    }

    /// The time and 80 random bits of a new id.
    pub fn id_parts(&self) -> (u64, u128) {
        (
            self.clock.milliseconds().max(0).cast_unsigned(),
            rand::random::<u128>() >> 48,
        )
    }
}

/// How to reach AWS, from the environment.
#[allow(clippy::disallowed_methods, reason = "the one place that makes it")]
pub async fn aws_config() -> aws_config::SdkConfig {
    aws_config::load_from_env().await
}
