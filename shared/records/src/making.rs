//! Things that are made without a deployment: with the names they claim, once by idempotency key, and counted by what they
//! belong to.
//!
//! Promise: a name is taken in the transaction of what has it; what has children is not deleted, because it counts them.

use crate::create::StoredKey;
use crate::item::{item, record, s};
use crate::transact::{Write, Written};
use crate::{AuditEntry, Claim, CreateRefused, Idempotency, Records, RecordsError, keys};
use domain::{TeamId, Time};

/// How often a write that met another one is tried before others are let through.
pub(crate) const ATTEMPTS: u32 = 8;

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// It is new.
    New,
    /// The same call made this one before, by its id.
    Repeat(String),
}

/// What is to be made.
pub(crate) struct Making<'a> {
    pub team: TeamId,
    pub id: String,
    pub claims: &'a [Claim],
    /// What it is a child of, and what that is called.
    pub parent: Option<(keys::Key, &'static str)>,
    pub idempotency: Option<&'a Idempotency>,
    pub audit: &'a AuditEntry,
    pub now: Time,
}

impl Records {
    /// See the module. `writes` are those of the thing itself.
    pub(crate) async fn make(
        &self,
        making: Making<'_>,
        writes: impl Fn() -> Result<Vec<Write>, RecordsError>,
    ) -> Result<Made, CreateRefused> {
        let team = making.team;
        for attempt in 0..ATTEMPTS {
            if let Some(idempotency) = making.idempotency {
                let stored = self.get(keys::idempotency(team, &idempotency.key)).await?;
                let stored: Option<StoredKey> = stored.map(record).transpose()?;
                if let Some(stored) = stored
                    && let Some(made) = stored.repeated(idempotency, making.now)?
                {
                    return Ok(Made::Repeat(made));
                }
            }
            if let Some((parent, what)) = &making.parent
                && self.get(parent.clone()).await?.is_none()
            {
                return Err(RecordsError::NotFound(what).into());
            }
            self.unclaimed(team, making.claims, &making.id).await?;
            let mut all = writes()?;
            for claim in making.claims {
                all.push(self.put_new(item(keys::claim(team, &claim.name), claim)?)?);
            }
            if let Some((parent, _)) = &making.parent {
                all.push(self.child_added(parent.clone())?);
            }
            if let Some(idempotency) = making.idempotency {
                all.push(self.key_used(team, idempotency, making.id.clone(), making.now)?);
            }
            all.push(self.put_new(making.audit.item(team)?)?);
            if self.write_all(all).await? == Written::All {
                return Ok(Made::New);
            }
            Self::jitter(attempt).await;
        }
        Err(RecordsError::Contended.into())
    }

    /// Nobody else has any of these.
    pub(crate) async fn unclaimed(
        &self,
        team: TeamId,
        claims: &[Claim],
        target: &str,
    ) -> Result<(), CreateRefused> {
        let wanted = claims.iter().map(|claim| keys::claim(team, &claim.name));
        for stored in self.get_all(wanted).await? {
            let stored: Claim = record(stored)?;
            if stored.target != target {
                return Err(CreateRefused::Taken(stored));
            }
        }
        Ok(())
    }

    /// It has one more child.
    pub(crate) fn child_added(&self, parent: keys::Key) -> Result<Write, RecordsError> {
        self.update(
            parent,
            "SET children = if_not_exists(children, :none) + :one",
            "attribute_exists(pk)",
            vec![(":none", Self::number(0)), (":one", Self::number(1))],
        )
    }

    /// It has one less.
    pub(crate) fn child_removed(&self, parent: keys::Key) -> Result<Write, RecordsError> {
        self.update(
            parent,
            "SET children = children - :one",
            "children > :none",
            vec![(":none", Self::number(0)), (":one", Self::number(1))],
        )
    }

    /// It goes, if it has no children.
    pub(crate) fn delete_childless(&self, at: keys::Key) -> Result<Write, RecordsError> {
        self.delete_if(
            at,
            "attribute_exists(pk) AND (attribute_not_exists(children) OR children = :none)",
            vec![(":none", Self::number(0))],
        )
    }

    /// How many children it has; None when it is not there.
    pub(crate) async fn children(&self, at: keys::Key) -> Result<Option<u64>, RecordsError> {
        let Some(stored) = self.get(at).await? else {
            return Ok(None);
        };
        let number = stored.get("children").and_then(|value| value.as_n().ok());
        Ok(Some(
            number
                .and_then(|text| text.parse().ok())
                .unwrap_or_default(),
        ))
    }

    /// A claim that goes with what had it, and is nobody else's.
    pub(crate) fn unclaim(
        &self,
        team: TeamId,
        name: &str,
        target: &str,
    ) -> Result<Write, RecordsError> {
        self.delete_if(
            keys::claim(team, name),
            "attribute_not_exists(pk) OR target = :target",
            vec![(":target", s(target))],
        )
    }
}
