//! Transactions: all of it or nothing, and the reason when nothing.
//!
//! Promise: a refused condition comes back as a value, never as an error; only a fault is one.

use crate::error::from_sdk;
use crate::item::{Item, key, n, s};
use crate::keys::Key;
use crate::{Records, RecordsError};
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{ConditionCheck, Delete, Put, TransactWriteItem, Update};
use std::time::Duration;

/// What became of a transaction.
#[derive(Debug, PartialEq, Eq)]
pub enum Written {
    /// All of it.
    All,
    /// None of it: a condition did not hold, or another transaction was at the same items.
    Nothing,
}

/// A put, with its condition.
pub struct Write(TransactWriteItem);

impl Records {
    fn build(
        result: Result<TransactWriteItem, aws_sdk_dynamodb::error::BuildError>,
    ) -> Result<Write, RecordsError> {
        result
            .map(Write)
            .map_err(|error| RecordsError::Malformed("request".to_string(), Some(Box::new(error))))
    }

    /// Put an item, if the condition holds.
    pub(crate) fn put(
        &self,
        item: Item,
        condition: Option<(&str, Vec<(&str, aws_sdk_dynamodb::types::AttributeValue)>)>,
    ) -> Result<Write, RecordsError> {
        let mut put = Put::builder().table_name(&self.table).set_item(Some(item));
        if let Some((expression, values)) = condition {
            put = put.condition_expression(expression);
            if expression.contains("#status") {
                put = put.expression_attribute_names("#status", "status");
            }
            for (name, value) in values {
                put = put.expression_attribute_values(name, value);
            }
        }
        Self::build(
            put.build()
                .map(|put| TransactWriteItem::builder().put(put).build()),
        )
    }

    /// Put an item that must not be there yet.
    pub(crate) fn put_new(&self, item: Item) -> Result<Write, RecordsError> {
        self.put(item, Some(("attribute_not_exists(pk)", vec![])))
    }

    /// Delete an item, there or not.
    pub(crate) fn delete(&self, at: Key) -> Result<Write, RecordsError> {
        Self::build(
            Delete::builder()
                .table_name(&self.table)
                .set_key(Some(key(at)))
                .build()
                .map(|delete| TransactWriteItem::builder().delete(delete).build()),
        )
    }

    /// Delete an item that is as it must be.
    pub(crate) fn delete_if(
        &self,
        at: Key,
        condition: &str,
        values: Vec<(&str, aws_sdk_dynamodb::types::AttributeValue)>,
    ) -> Result<Write, RecordsError> {
        let mut delete = Delete::builder()
            .table_name(&self.table)
            .set_key(Some(key(at)))
            .condition_expression(condition);
        for (name, value) in values {
            delete = delete.expression_attribute_values(name, value);
        }
        Self::build(
            delete
                .build()
                .map(|delete| TransactWriteItem::builder().delete(delete).build()),
        )
    }

    /// Put an item into the secrets table that must not be there yet.
    pub(crate) fn put_new_secret(&self, item: Item) -> Result<Write, RecordsError> {
        Self::build(
            Put::builder()
                .table_name(&self.secrets_table)
                .set_item(Some(item))
                .condition_expression("attribute_not_exists(pk)")
                .build()
                .map(|put| TransactWriteItem::builder().put(put).build()),
        )
    }

    /// Delete an item of the secrets table, there or not.
    pub(crate) fn delete_secret(&self, at: Key) -> Result<Write, RecordsError> {
        Self::build(
            Delete::builder()
                .table_name(&self.secrets_table)
                .set_key(Some(key(at)))
                .build()
                .map(|delete| TransactWriteItem::builder().delete(delete).build()),
        )
    }

    /// A secret is of no use after this (seconds since 1970): what reads it now may end with it.
    pub(crate) fn expire_secret(&self, at: Key, expires_at: i64) -> Result<Write, RecordsError> {
        Self::build(
            Update::builder()
                .table_name(&self.secrets_table)
                .set_key(Some(key(at)))
                .update_expression("SET expires_at = :end")
                .condition_expression("attribute_exists(pk)")
                .expression_attribute_values(":end", n(expires_at))
                .build()
                .map(|update| TransactWriteItem::builder().update(update).build()),
        )
    }

    /// Demand that an item is there.
    pub(crate) fn check_exists(&self, at: Key) -> Result<Write, RecordsError> {
        let check = ConditionCheck::builder()
            .table_name(&self.table)
            .set_key(Some(key(at)))
            .condition_expression("attribute_exists(pk)");
        Self::build(
            check
                .build()
                .map(|check| TransactWriteItem::builder().condition_check(check).build()),
        )
    }

    /// Demand that an item is as it must be; one that is not there has no attributes.
    pub(crate) fn check(
        &self,
        at: Key,
        condition: &str,
        values: Vec<(&str, aws_sdk_dynamodb::types::AttributeValue)>,
    ) -> Result<Write, RecordsError> {
        let mut check = ConditionCheck::builder()
            .table_name(&self.table)
            .set_key(Some(key(at)))
            .condition_expression(condition);
        for (name, value) in values {
            check = check.expression_attribute_values(name, value);
        }
        Self::build(
            check
                .build()
                .map(|check| TransactWriteItem::builder().condition_check(check).build()),
        )
    }

    /// Change an item in place, if the condition holds.
    pub(crate) fn update(
        &self,
        at: Key,
        expression: &str,
        condition: &str,
        values: Vec<(&str, aws_sdk_dynamodb::types::AttributeValue)>,
    ) -> Result<Write, RecordsError> {
        let mut update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(key(at)))
            .update_expression(expression)
            .condition_expression(condition);
        for (alias, name) in [("#status", "status"), ("#current", "current")] {
            if expression.contains(alias) {
                update = update.expression_attribute_names(alias, name);
            }
        }
        for (name, value) in values {
            update = update.expression_attribute_values(name, value);
        }
        Self::build(
            update
                .build()
                .map(|update| TransactWriteItem::builder().update(update).build()),
        )
    }

    /// All of these, or none.
    pub(crate) async fn write_all(&self, writes: Vec<Write>) -> Result<Written, RecordsError> {
        let items = writes.into_iter().map(|write| write.0).collect();
        match self
            .client
            .transact_write_items()
            .set_transact_items(Some(items))
            .send()
            .await
        {
            Ok(_) => Ok(Written::All),
            Err(SdkError::ServiceError(service))
                if matches!(
                    service.err(),
                    TransactWriteItemsError::TransactionCanceledException(_)
                ) =>
            {
                let TransactWriteItemsError::TransactionCanceledException(cancelled) =
                    service.err()
                else {
                    return Ok(Written::Nothing);
                };
                let codes: Vec<_> = cancelled
                    .cancellation_reasons()
                    .iter()
                    .filter_map(|reason| reason.code())
                    .collect();
                let fault = codes.iter().find(|code| {
                    !matches!(
                        **code,
                        "None" | "ConditionalCheckFailed" | "TransactionConflict"
                    )
                });
                match fault {
                    None => Ok(Written::Nothing),
                    Some(code @ &("ThrottlingError" | "ProvisionedThroughputExceeded")) => Err(
                        RecordsError::Unavailable(format!("transaction: {code}").into()),
                    ),
                    Some(code) => Err(RecordsError::Malformed((*code).to_string(), None)),
                }
            }
            Err(error) => Err(from_sdk(error)),
        }
    }

    /// Wait a little, and not in step with others, before reading again.
    pub(crate) async fn jitter(attempt: u32) {
        let most = 20 * 2_u64.pow(attempt.min(5));
        tokio::time::sleep(Duration::from_millis(rand::random_range(5..=most))).await;
    }

    /// One item, read consistently.
    pub(crate) async fn get(&self, at: Key) -> Result<Option<Item>, RecordsError> {
        let reply = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key(at)))
            .consistent_read(true)
            .send()
            .await
            .map_err(from_sdk)?;
        Ok(reply.item)
    }

    /// Several items, read consistently; those that are not there are left out.
    pub(crate) async fn get_all(
        &self,
        keys: impl IntoIterator<Item = Key>,
    ) -> Result<Vec<Item>, RecordsError> {
        let mut left: Vec<Item> = keys.into_iter().map(key).collect();
        let mut found = Vec::new();
        for attempt in 0..8 {
            if left.is_empty() {
                return Ok(found);
            }
            let next = left.split_off(left.len().saturating_sub(100));
            let wanted = aws_sdk_dynamodb::types::KeysAndAttributes::builder()
                .set_keys(Some(next))
                .consistent_read(true)
                .build()
                .map_err(|error| {
                    RecordsError::Malformed("request".to_string(), Some(Box::new(error)))
                })?;
            let reply = self
                .client
                .batch_get_item()
                .request_items(&self.table, wanted)
                .send()
                .await
                .map_err(from_sdk)?;
            found.extend(
                reply
                    .responses
                    .into_iter()
                    .flatten()
                    .flat_map(|(_, items)| items),
            );
            let unread: Vec<Item> = reply
                .unprocessed_keys
                .into_iter()
                .flatten()
                .flat_map(|(_, keys)| keys.keys)
                .collect();
            if !unread.is_empty() {
                left.extend(unread);
                Self::jitter(attempt).await;
            }
        }
        if left.is_empty() {
            Ok(found)
        } else {
            Err(RecordsError::Unavailable(
                "batch read left keys unprocessed".into(),
            ))
        }
    }

    /// All items of a partition whose sort key begins so, in order.
    pub(crate) async fn query(
        &self,
        partition: String,
        prefix: &str,
    ) -> Result<Vec<Item>, RecordsError> {
        let mut found = Vec::new();
        let mut from = None;
        loop {
            let mut query = self
                .client
                .query()
                .table_name(&self.table)
                .consistent_read(true)
                .expression_attribute_values(":pk", s(partition.clone()))
                .set_exclusive_start_key(from);
            query = if prefix.is_empty() {
                query.key_condition_expression("pk = :pk")
            } else {
                query
                    .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
                    .expression_attribute_values(":prefix", s(prefix))
            };
            let reply = query.send().await.map_err(from_sdk)?;
            found.extend(reply.items.into_iter().flatten());
            from = reply.last_evaluated_key;
            if from.is_none() {
                return Ok(found);
            }
        }
    }

    /// A number attribute's value.
    pub(crate) fn number(number: u64) -> aws_sdk_dynamodb::types::AttributeValue {
        n(number)
    }
}
