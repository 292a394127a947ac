//! The tables as the template makes them, for tests and tools that have no CloudFormation.
//!
//! Promise: the same keys and indexes as `infra/template.yaml`; a test compares the two.

use crate::RecordsError;
use crate::error::from_sdk;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType, StreamSpecification, StreamViewType,
};

/// The indexes: name, partition key and sort key.
pub const INDEXES: [(&str, &str, &str); 4] = [
    ("by_team", "team_key", "id"),
    ("by_target", "target_key", "id"),
    ("open", "open_key", "id"),
    ("due", "due_key", "next_due_at"),
];

fn malformed(error: aws_sdk_dynamodb::error::BuildError) -> RecordsError {
    RecordsError::Malformed("table".to_string(), Some(Box::new(error)))
}

fn schema(partition: &str, sort: &str) -> Result<Vec<KeySchemaElement>, RecordsError> {
    [(partition, KeyType::Hash), (sort, KeyType::Range)]
        .into_iter()
        .map(|(name, kind)| {
            KeySchemaElement::builder()
                .attribute_name(name)
                .key_type(kind)
                .build()
                .map_err(malformed)
        })
        .collect()
}

fn attributes(names: &[&str]) -> Result<Vec<AttributeDefinition>, RecordsError> {
    names
        .iter()
        .map(|name| {
            AttributeDefinition::builder()
                .attribute_name(*name)
                .attribute_type(ScalarAttributeType::S)
                .build()
                .map_err(malformed)
        })
        .collect()
}

/// The table of records.
pub async fn create_records_table(client: &Client, name: &str) -> Result<(), RecordsError> {
    let mut names = vec!["pk", "sk"];
    let mut indexes = Vec::new();
    for (index, partition, sort) in INDEXES {
        names.extend([partition, sort]);
        let projection = Projection::builder()
            .projection_type(ProjectionType::KeysOnly)
            .build();
        indexes.push(
            GlobalSecondaryIndex::builder()
                .index_name(index)
                .set_key_schema(Some(schema(partition, sort)?))
                .projection(projection)
                .build()
                .map_err(malformed)?,
        );
    }
    names.sort_unstable();
    names.dedup();
    let stream = StreamSpecification::builder()
        .stream_enabled(true)
        .stream_view_type(StreamViewType::NewAndOldImages)
        .build()
        .map_err(malformed)?;
    client
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .set_key_schema(Some(schema("pk", "sk")?))
        .set_attribute_definitions(Some(attributes(&names)?))
        .set_global_secondary_indexes(Some(indexes))
        .stream_specification(stream)
        .send()
        .await
        .map(|_| ())
        .map_err(from_sdk)
}

/// The table of secrets.
pub async fn create_secrets_table(client: &Client, name: &str) -> Result<(), RecordsError> {
    client
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .set_key_schema(Some(schema("pk", "sk")?))
        .set_attribute_definitions(Some(attributes(&["pk", "sk"])?))
        .send()
        .await
        .map(|_| ())
        .map_err(from_sdk)
}
