//! Records as items and back.
//!
//! Promise: what was written reads back equal; an item's keys are set here and nowhere else.

use crate::RecordsError;
use crate::keys::Key;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;

/// A DynamoDB item.
pub type Item = HashMap<String, AttributeValue>;

/// Text.
pub fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

/// A number.
pub fn n(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// A key as attributes.
pub fn key(key: Key) -> Item {
    HashMap::from([("pk".to_string(), s(key.0)), ("sk".to_string(), s(key.1))])
}

/// A record under its key.
pub fn item<T: Serialize>(at: Key, record: &T) -> Result<Item, RecordsError> {
    let mut item: Item = serde_dynamo::aws_sdk_dynamodb_1::to_item(record).map_err(|error| {
        RecordsError::Malformed("cannot be written".to_string(), Some(Box::new(error)))
    })?;
    item.extend(key(at));
    Ok(item)
}

/// The record in an item.
pub fn record<T: DeserializeOwned>(item: Item) -> Result<T, RecordsError> {
    let at = format!("{:?} {:?}", item.get("pk"), item.get("sk"));
    serde_dynamo::aws_sdk_dynamodb_1::from_item(item)
        .map_err(|error| RecordsError::Malformed(at, Some(Box::new(error))))
}
