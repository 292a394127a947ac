//! The live channel's tickets, connections and topics.
//!
//! Promise: a ticket opens one connection, of a token that is still there; a topic's subscribers are found in its own
//! team alone; a closed connection leaves nothing behind.

use crate::item::{item, record, s};
use crate::transact::Written;
use crate::{Records, RecordsError, keys};
use domain::{TeamId, TokenId};
use serde::{Deserialize, Serialize};

/// API Gateway ends every connection after two hours; what it leaves behind goes some time later.
const CONNECTION_SECONDS: i64 = 3 * 3600;

/// More than a page of the dashboard listens to, and few enough to close a connection in one transaction.
pub const TOPICS_LIMIT: usize = 30;

/// Leave to open one connection, found by the hash of its secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ticket {
    /// Hex SHA-256 of its secret.
    pub hash: String,
    /// Whose.
    pub team_id: TeamId,
    /// By which token: a revoked one opens nothing.
    pub token_id: TokenId,
    /// Seconds since 1970.
    pub expires_at: i64,
}

/// An open connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// API Gateway's id.
    pub id: String,
    /// Whose.
    pub team_id: TeamId,
    /// By which token.
    pub token_id: TokenId,
    /// What it listens to.
    #[serde(default)]
    pub topics: Vec<String>,
    /// Seconds since 1970: DynamoDB removes it some time after.
    pub expires_at: i64,
}

/// One side of a link between a connection and what it belongs to.
#[derive(Serialize, Deserialize)]
struct Link {
    connection_id: String,
    expires_at: i64,
}

impl Records {
    /// Store a ticket.
    pub async fn ticket_create(&self, ticket: &Ticket) -> Result<(), RecordsError> {
        let write = self.put_new(item(keys::ticket(&ticket.hash), ticket)?)?;
        match self.write_all(vec![write]).await? {
            Written::All => Ok(()),
            Written::Nothing => Err(RecordsError::Contended),
        }
    }

    /// Open a connection with a ticket, which is used up by it. None when the ticket is none, or of a revoked token.
    pub async fn connection_open(
        &self,
        ticket_hash: &str,
        id: &str,
        now: i64,
    ) -> Result<Option<Connection>, RecordsError> {
        let Some(stored) = self.get(keys::ticket(ticket_hash)).await? else {
            return Ok(None);
        };
        let ticket: Ticket = record(stored)?;
        let connection = Connection {
            id: id.to_string(),
            team_id: ticket.team_id,
            token_id: ticket.token_id,
            topics: Vec::new(),
            expires_at: now + CONNECTION_SECONDS,
        };
        let mut stored = item(keys::connection(id), &connection)?;
        // A set of texts cannot be empty.
        stored.remove("topics");
        let writes = vec![
            self.delete_if(
                keys::ticket(ticket_hash),
                "expires_at > :now",
                vec![(":now", Self::number(now.max(0).cast_unsigned()))],
            )?,
            self.check_exists(keys::token(ticket.team_id, ticket.token_id))?,
            self.put(stored, None)?,
            self.put(self.token_link(&connection)?, None)?,
        ];
        Ok(match self.write_all(writes).await? {
            Written::All => Some(connection),
            Written::Nothing => None,
        })
    }

    /// An open connection.
    pub async fn connection(&self, id: &str) -> Result<Option<Connection>, RecordsError> {
        let stored = self.get(keys::connection(id)).await?;
        stored.map(record).transpose()
    }

    /// Let a connection hear of a topic. False when it listens to as many as it may, or is closed.
    pub async fn connection_subscribe(
        &self,
        connection: &Connection,
        topic: &str,
    ) -> Result<bool, RecordsError> {
        let writes = vec![
            self.update(
                keys::connection(&connection.id),
                "ADD topics :topic",
                "attribute_exists(pk) AND (attribute_not_exists(topics) OR size(topics) < :most OR contains(topics, :text))",
                vec![
                    (":topic", topic_set(topic)),
                    (":text", s(topic)),
                    (":most", Self::number(TOPICS_LIMIT as u64)),
                ],
            )?,
            self.put(self.topic_link(connection, topic)?, None)?,
        ];
        Ok(self.write_all(writes).await? == Written::All)
    }

    /// No more of a topic.
    pub async fn connection_unsubscribe(
        &self,
        connection: &Connection,
        topic: &str,
    ) -> Result<(), RecordsError> {
        let writes = vec![
            self.update(
                keys::connection(&connection.id),
                "DELETE topics :topic",
                "attribute_exists(pk)",
                vec![(":topic", topic_set(topic))],
            )?,
            self.delete(keys::subscription(
                connection.team_id,
                topic,
                &connection.id,
            ))?,
        ];
        self.write_all(writes).await.map(|_| ())
    }

    /// Forget a connection and all it listened to; one that is not there is forgotten already.
    pub async fn connection_close(&self, id: &str) -> Result<(), RecordsError> {
        let Some(connection) = self.connection(id).await? else {
            return Ok(());
        };
        let team = connection.team_id;
        let mut writes = vec![
            self.delete(keys::connection(id))?,
            self.delete(keys::token_connection(team, connection.token_id, id))?,
        ];
        for topic in &connection.topics {
            writes.push(self.delete(keys::subscription(team, topic, id))?);
        }
        self.write_all(writes).await.map(|_| ())
    }

    /// Forget that somebody listens to a topic: of a connection that was closed while it was subscribing.
    pub async fn subscription_forget(
        &self,
        team: TeamId,
        topic: &str,
        id: &str,
    ) -> Result<(), RecordsError> {
        let write = self.delete(keys::subscription(team, topic, id))?;
        self.write_all(vec![write]).await.map(|_| ())
    }

    /// The connections that listen to a topic of the team.
    pub async fn subscribers(
        &self,
        team: TeamId,
        topic: &str,
    ) -> Result<Vec<String>, RecordsError> {
        self.links(keys::topic_partition(team, topic), "CONNECTION#")
            .await
    }

    /// The connections that a token opened.
    pub async fn token_connections(
        &self,
        team: TeamId,
        token: TokenId,
    ) -> Result<Vec<String>, RecordsError> {
        let (partition, prefix) = keys::token_connection(team, token, "");
        self.links(partition, &prefix).await
    }

    async fn links(&self, partition: String, prefix: &str) -> Result<Vec<String>, RecordsError> {
        let found = self.query(partition, prefix).await?;
        found
            .into_iter()
            .map(|item| record::<Link>(item).map(|link| link.connection_id))
            .collect()
    }

    fn topic_link(
        &self,
        connection: &Connection,
        topic: &str,
    ) -> Result<crate::item::Item, RecordsError> {
        item(
            keys::subscription(connection.team_id, topic, &connection.id),
            &link(connection),
        )
    }

    fn token_link(&self, connection: &Connection) -> Result<crate::item::Item, RecordsError> {
        item(
            keys::token_connection(connection.team_id, connection.token_id, &connection.id),
            &link(connection),
        )
    }
}

fn link(connection: &Connection) -> Link {
    Link {
        connection_id: connection.id.clone(),
        expires_at: connection.expires_at,
    }
}

fn topic_set(topic: &str) -> aws_sdk_dynamodb::types::AttributeValue {
    aws_sdk_dynamodb::types::AttributeValue::Ss(vec![topic.to_string()])
}
