//! Ids: one type per kind of thing, each a ULID.
//!
//! Promise: an id of one thing cannot be passed for another's, and text that is no id does not become one.

use serde::{Deserialize, Deserializer, Serialize};
use std::{fmt, str::FromStr};
use ulid::Ulid;

/// Text that is no id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not an id: 26 characters of Crockford's base 32 are expected")]
pub struct NotAnId;

macro_rules! id {
    ($(#[$doc:meta] $name:ident),* $(,)?) => { $(
        #[$doc]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(Ulid);

        impl $name {
            /// From its time (milliseconds since 1970) and 80 random bits.
            pub fn from_parts(milliseconds: u64, random: u128) -> Self {
                Self(Ulid::from_parts(milliseconds, random))
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.fmt(f) }
        }
        impl FromStr for $name {
            type Err = NotAnId;
            fn from_str(text: &str) -> Result<Self, NotAnId> {
                // Ulid's own reader takes lower case too and lets the first digit overflow: one id would have many spellings.
                match Ulid::from_string(text) {
                    Ok(ulid) if ulid.to_string() == text => Ok(Self(ulid)),
                    _ => Err(NotAnId),
                }
            }
        }
        impl<'de> Deserialize<'de> for $name {
            /// As its text is read: Ulid's own way would let other spellings in.
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
            }
        }
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .pattern(Some("^[0-7][0-9A-HJKMNP-TV-Z]{25}$"))
                    .examples(["01JD2Z6E9W8Q4S5T6V7X8Y9ZAB"])
                    .into()
            }
        }
        impl utoipa::ToSchema for $name {}
    )* };
}

id! {
    /// A team: the owner of everything else.
    TeamId,
    /// One operation, from its creation to its settlement.
    DeploymentId,
    /// A machine that sites or containers live on.
    ServerId,
    /// A WordPress site.
    SiteId,
    /// An encrypted value in the secrets table.
    SecretId,
    /// An API token.
    TokenId,
    /// A backup of a site; made by the deployment of the same number.
    BackupId,
    /// What of a site is backed up when, and how long it is kept.
    BackupConfigurationId,
    /// An address that notices are sent to.
    WebhookEndpointId,
    /// Services that belong together.
    ProjectId,
    /// What is released.
    ServiceId,
    /// Where a service runs.
    EnvironmentId,
    /// A source that was uploaded.
    UploadId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_it_was_written() {
        let id = SiteId::from_parts(1_732_150_000_000, 42);
        assert_eq!(id.to_string().parse::<SiteId>(), Ok(id));
    }

    #[test]
    fn text_that_is_no_id_is_refused() {
        for text in [
            "",
            "x",
            "01jd2z6e9w8q4s5t6v7x8y9zab",
            "81JD2Z6E9W8Q4S5T6V7X8Y9ZAB",
            "../../etc/passwd",
            "01JD2Z6E9W8Q4S5T6V7X8Y9ZA\n",
        ] {
            assert_eq!(text.parse::<SiteId>(), Err(NotAnId), "{text:?}");
        }
    }

    #[test]
    fn json_takes_no_other_spelling_than_text_does() {
        let id = SiteId::from_parts(1_732_150_000_000, 42);
        let read = |text: String| serde_json::from_value::<SiteId>(text.into());
        assert_eq!(read(id.to_string()).ok(), Some(id));
        assert!(read(id.to_string().to_lowercase()).is_err());
        assert!(read("81JD2Z6E9W8Q4S5T6V7X8Y9ZAB".to_string()).is_err());
    }

    #[test]
    fn later_ids_sort_behind_earlier_ones() {
        assert!(DeploymentId::from_parts(1, 9) < DeploymentId::from_parts(2, 0));
    }
}
