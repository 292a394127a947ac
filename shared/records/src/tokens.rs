//! API tokens.
//!
//! Promise: only a hash of a token's secret is stored; a revoked token is gone in the same write from both of its places.

use crate::item::{item, record};
use crate::transact::Written;
use crate::{AuditEntry, Records, RecordsError, keys};
use domain::{Role, SCHEMA, Scope, TeamId, Time, TokenId, time_text};
use serde::{Deserialize, Serialize};

/// A token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TokenRecord {
    /// Number of the record's shape.
    pub schema: u32,
    /// Its id.
    pub id: TokenId,
    /// Its team.
    pub team_id: TeamId,
    /// For people.
    pub name: String,
    /// Of the member it stands for.
    pub role: Role,
    /// What it may do, within the role.
    pub scopes: Vec<Scope>,
    /// Hex SHA-256 of its secret.
    pub hash: String,
    /// When it was made.
    #[serde(with = "time_text")]
    pub created_at: Time,
}

impl TokenRecord {
    /// A new one.
    pub fn new(
        id: TokenId,
        team_id: TeamId,
        name: &str,
        role: Role,
        scopes: Vec<Scope>,
        hash: String,
        created_at: Time,
    ) -> Self {
        Self {
            schema: SCHEMA,
            id,
            team_id,
            name: name.to_string(),
            role,
            scopes,
            hash,
            created_at,
        }
    }
}

impl Records {
    /// Store a token under its team and its hash.
    pub async fn token_create(
        &self,
        token: &TokenRecord,
        audit: &AuditEntry,
    ) -> Result<(), RecordsError> {
        let writes = vec![
            self.put_new(item(keys::token(token.team_id, token.id), token)?)?,
            self.put_new(item(keys::token_hash(&token.hash), token)?)?,
            self.put_new(audit.item(token.team_id)?)?,
        ];
        match self.write_all(writes).await? {
            Written::All => Ok(()),
            Written::Nothing => Err(RecordsError::Contended),
        }
    }

    /// The token whose secret has this hash.
    pub async fn token_by_hash(&self, hash: &str) -> Result<Option<TokenRecord>, RecordsError> {
        self.get(keys::token_hash(hash))
            .await?
            .map(record)
            .transpose()
    }

    /// A team's tokens, oldest first.
    pub async fn tokens(&self, team: TeamId) -> Result<Vec<TokenRecord>, RecordsError> {
        self.query(keys::team(team), "TOKEN#")
            .await?
            .into_iter()
            .map(record)
            .collect()
    }

    /// Revoke a token, for good.
    pub async fn token_delete(
        &self,
        team: TeamId,
        id: TokenId,
        audit: &AuditEntry,
    ) -> Result<(), RecordsError> {
        let token: TokenRecord = record(
            self.get(keys::token(team, id))
                .await?
                .ok_or(RecordsError::NotFound("token"))?,
        )?;
        let writes = vec![
            self.delete(keys::token(team, id))?,
            self.delete(keys::token_hash(&token.hash))?,
            self.put_new(audit.item(team)?)?,
        ];
        match self.write_all(writes).await? {
            Written::All => Ok(()),
            Written::Nothing => Err(RecordsError::Contended),
        }
    }
}
