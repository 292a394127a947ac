//! Who calls, and what they may do.
//!
//! Promise: a caller may do the intersection of the role and the token's scopes, in the token's team alone.

use crate::problem::ApiError;
use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use domain::{Actor, ActorKind, Role, Scope, TeamId, TokenId, Trigger};
use kit::Cloud;
use lambda_http::request::RequestContext;
use records::AuditEntry;
use sha2::{Digest, Sha256};

/// What a token's secret begins with, so that people and scanners know one.
pub const TOKEN_PREFIX: &str = "th_";

/// A caller.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Their team.
    pub team: TeamId,
    /// Their token.
    pub token_id: TokenId,
    /// The token's name.
    pub name: String,
    /// The role behind it.
    pub role: Role,
    /// The token's scopes.
    pub scopes: Vec<Scope>,
    /// What set the call off.
    pub trigger: Trigger,
    /// The address it came from.
    pub from: String,
}

/// Only this is stored of a token.
pub fn hash(secret: &str) -> String {
    hex::encode(Sha256::digest(secret))
}

/// The token's secret in an Authorization header: visible ASCII behind its prefix, as tokens are made.
fn bearer(header: &[u8]) -> Option<&str> {
    let (scheme, secret) = std::str::from_utf8(header).ok()?.split_once(' ')?;
    let secret = secret.trim_end_matches(' ');
    let ok = scheme.eq_ignore_ascii_case("bearer")
        && secret.len() > TOKEN_PREFIX.len()
        && secret.starts_with(TOKEN_PREFIX)
        && secret.bytes().all(|b| b.is_ascii_graphic());
    ok.then_some(secret)
}

impl Caller {
    /// May they?
    pub fn may(&self, scope: Scope) -> bool {
        self.role.holds(scope) && self.scopes.contains(&scope)
    }

    /// They must.
    pub fn need(&self, scope: Scope) -> Result<(), ApiError> {
        if self.may(scope) {
            Ok(())
        } else {
            Err(ApiError::forbidden(scope.as_str()))
        }
    }

    /// As records name them.
    pub fn actor(&self) -> Actor {
        let role: &'static str = self.role.into();
        Actor {
            kind: ActorKind::Token,
            id: self.token_id.to_string(),
            name: self.name.clone(),
            role: role.to_string(),
        }
    }

    /// An entry of the audit trail about what they do now.
    pub fn audit(
        &self,
        cloud: &Cloud,
        action: &str,
        target: impl ToString,
        detail: impl Into<String>,
    ) -> AuditEntry {
        let (time, random) = cloud.id_parts();
        AuditEntry {
            id: TokenId::from_parts(time, random).to_string(),
            at: cloud.clock.now(),
            actor: self.actor(),
            from: self.from.clone(),
            action: action.to_string(),
            target: target.to_string(),
            detail: detail.into(),
        }
    }
}

impl FromRequestParts<Cloud> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, cloud: &Cloud) -> Result<Self, ApiError> {
        let header = parts
            .headers
            .get(AUTHORIZATION)
            .ok_or_else(|| ApiError::unauthorized("Send a token: Authorization: Bearer th_…"))?;
        let secret = bearer(header.as_bytes())
            .ok_or_else(|| ApiError::unauthorized("Send a token: Authorization: Bearer th_…"))?;
        let token = cloud
            .records
            .token_by_hash(&hash(secret))
            .await?
            .ok_or_else(|| {
                ApiError::unauthorized("This token is not known; it may have been revoked.")
            })?;
        let is_cli = parts
            .headers
            .get("x-triphammer-client")
            .and_then(|client| client.to_str().ok())
            .is_some_and(|client| client.starts_with("cli/"));
        let from = match parts.extensions.get::<RequestContext>() {
            Some(RequestContext::ApiGatewayV2(context)) => {
                context.http.source_ip.clone().unwrap_or_default()
            }
            _ => String::new(),
        };
        Ok(Self {
            team: token.team_id,
            token_id: token.id,
            name: token.name,
            role: token.role,
            scopes: token.scopes,
            trigger: if is_cli { Trigger::Cli } else { Trigger::Api },
            from,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_header_gives_a_visible_token_or_nothing() {
        bolero::check!()
            .with_test_time(Duration::from_secs(1))
            .for_each(|bytes| {
                for prefix in ["", "Bearer ", "bearer th_", "Bearer th_"] {
                    let header = [prefix.as_bytes(), bytes].concat();
                    let Some(secret) = bearer(&header) else {
                        continue;
                    };
                    assert!(secret.bytes().all(|b| b.is_ascii_graphic()));
                    let again = format!("Bearer {secret}");
                    assert_eq!(bearer(again.as_bytes()), Some(secret));
                }
            });
    }

    #[test]
    fn a_header_that_is_no_bearers_is_refused() {
        assert_eq!(bearer(b"BEARER th_abc "), Some("th_abc"));
        for header in [
            "",
            "th_abc",
            "Basic th_abc",
            "Bearer abc",
            "Bearer th_",
            "Bearer  th_a",
            "Bearer th_a b",
            "Bearer th_a\tb",
        ] {
            assert_eq!(bearer(header.as_bytes()), None, "{header:?}");
        }
    }
}
