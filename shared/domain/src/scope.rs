//! What a caller may do: the intersection of the member's role and the token's scopes.
//!
//! Promise: a token never does more than its member may.

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

macro_rules! scopes {
    ($($name:ident = $wire:literal),* $(,)?) => {
        /// One permission of a token.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray)]
        pub enum Scope { $(
            #[doc = $wire]
            #[serde(rename = $wire)]
            #[strum(serialize = $wire)]
            $name
        ),* }
    };
}

scopes! {
    DeployRead = "deploy:read", DeployStart = "deploy:start", DeployCancel = "deploy:cancel", DeployRollback = "deploy:rollback",
    SiteRead = "site:read", SiteWrite = "site:write", ServerRead = "server:read", ServerWrite = "server:write",
    BackupRead = "backup:read", BackupRun = "backup:run", BackupRestore = "backup:restore",
    EnvRead = "env:read", EnvWrite = "env:write", SecretsRead = "secrets:read", SecretsWrite = "secrets:write",
    LogsRead = "logs:read", TokensManage = "tokens:manage", MembersManage = "members:manage",
    ApprovalsCreate = "approvals:create", ApprovalsDecide = "approvals:decide", AuditRead = "audit:read",
}

// By hand: the derive does not see a name that a macro fills in, and would describe other words than are spoken.
impl utoipa::PartialSchema for Scope {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .description(Some("One permission of a token."))
            .enum_values(Some(Self::VARIANTS.iter().map(|scope| scope.as_str())))
            .into()
    }
}

impl utoipa::ToSchema for Scope {}

impl Scope {
    /// The word in tokens, JSON and messages.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A member's role in the team.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Role {
    /// Everything.
    Owner,
    /// Everything but members.
    Admin,
    /// Runs and changes, but manages neither tokens nor members.
    Member,
    /// Reads.
    Viewer,
}

impl Role {
    /// Does the role hold this permission?
    pub fn holds(self, scope: Scope) -> bool {
        use Scope::*;
        match self {
            Self::Owner => true,
            Self::Admin => scope != MembersManage,
            Self::Member => !matches!(
                scope,
                MembersManage | TokensManage | ApprovalsDecide | SecretsRead | AuditRead
            ),
            Self::Viewer => matches!(
                scope,
                DeployRead | SiteRead | ServerRead | BackupRead | LogsRead
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_holds_what_the_one_below_holds() {
        for pair in Role::VARIANTS.windows(2) {
            for scope in Scope::VARIANTS {
                assert!(
                    pair[0].holds(*scope) || !pair[1].holds(*scope),
                    "{:?} {scope:?}",
                    pair[1]
                );
            }
        }
    }

    #[test]
    fn a_viewer_changes_nothing() {
        assert!(
            Scope::VARIANTS
                .iter()
                .filter(|scope| Role::Viewer.holds(**scope))
                .all(|scope| scope.as_str().ends_with(":read"))
        );
    }
}
