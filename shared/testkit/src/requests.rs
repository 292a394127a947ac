//! What reaches the store: every request, and what DynamoDB would bill for it.
//!
//! Promise: counted where the client sends, so a retry of the client counts as the request that it is.

use aws_sdk_dynamodb::config::interceptors::{
    AfterDeserializationInterceptorContextRef, BeforeSerializationInterceptorContextMut,
    BeforeTransmitInterceptorContextRef,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::operation::batch_get_item::{BatchGetItemInput, BatchGetItemOutput};
use aws_sdk_dynamodb::operation::get_item::{GetItemInput, GetItemOutput};
use aws_sdk_dynamodb::operation::query::{QueryInput, QueryOutput};
use aws_sdk_dynamodb::operation::transact_write_items::{
    TransactWriteItemsInput, TransactWriteItemsOutput,
};
use aws_sdk_dynamodb::types::{ConsumedCapacity, ReturnConsumedCapacity};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// The header that names the operation: `DynamoDB_20120810.Query`.
const OPERATION: &str = "x-amz-target";
/// The operation that writes all of something or nothing of it.
pub const TRANSACTION: &str = "TransactWriteItems";

/// Requests, and their price in units.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    /// How many of each operation.
    pub calls: BTreeMap<String, u32>,
    /// Write request units; a transaction's are double already.
    pub write_units: f64,
    /// Read request units.
    pub read_units: f64,
}

impl Tally {
    /// All requests.
    pub fn total(&self) -> u32 {
        self.calls.values().sum()
    }

    /// Those that write in a transaction.
    pub fn transactions(&self) -> u32 {
        self.calls.get(TRANSACTION).copied().unwrap_or_default()
    }

    /// What came after `before` was taken.
    pub fn since(&self, before: &Self) -> Self {
        let calls = self.calls.iter().filter_map(|(name, count)| {
            let new = count - before.calls.get(name).copied().unwrap_or_default();
            (new > 0).then(|| (name.clone(), new))
        });
        Self {
            calls: calls.collect(),
            write_units: self.write_units - before.write_units,
            read_units: self.read_units - before.read_units,
        }
    }
}

/// A counter that a client carries.
#[derive(Debug, Clone, Default)]
pub struct Requests(Arc<Mutex<Tally>>);

impl Requests {
    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Everything so far.
    pub fn so_far(&self) -> Tally {
        self.tally().clone()
    }

    fn wrote<'a>(&self, consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) {
        self.tally().write_units += units(consumed);
    }

    fn read<'a>(&self, consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) {
        self.tally().read_units += units(consumed);
    }
}

fn units<'a>(consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) -> f64 {
    let each = consumed
        .into_iter()
        .filter_map(ConsumedCapacity::capacity_units);
    each.sum()
}

impl Intercept for Requests {
    fn name(&self) -> &'static str {
        "Requests"
    }

    /// Asks for the price, which nobody is told unasked.
    fn modify_before_serialization(
        &self,
        context: &mut BeforeSerializationInterceptorContextMut<'_>,
        _runtime: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let total = Some(ReturnConsumedCapacity::Total);
        let input = context.input_mut();
        if let Some(input) = input.downcast_mut::<TransactWriteItemsInput>() {
            input.return_consumed_capacity = total;
        } else if let Some(input) = input.downcast_mut::<QueryInput>() {
            input.return_consumed_capacity = total;
        } else if let Some(input) = input.downcast_mut::<GetItemInput>() {
            input.return_consumed_capacity = total;
        } else if let Some(input) = input.downcast_mut::<BatchGetItemInput>() {
            input.return_consumed_capacity = total;
        }
        Ok(())
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _runtime: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let target = context.request().headers().get(OPERATION);
        let operation = target.and_then(|target| target.rsplit('.').next());
        *self
            .tally()
            .calls
            .entry(operation.unwrap_or("unknown").to_string())
            .or_default() += 1;
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _runtime: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Ok(output) = context.output_or_error() else {
            return Ok(());
        };
        if let Some(output) = output.downcast_ref::<TransactWriteItemsOutput>() {
            self.wrote(output.consumed_capacity());
        } else if let Some(output) = output.downcast_ref::<QueryOutput>() {
            self.read(output.consumed_capacity());
        } else if let Some(output) = output.downcast_ref::<GetItemOutput>() {
            self.read(output.consumed_capacity());
        } else if let Some(output) = output.downcast_ref::<BatchGetItemOutput>() {
            self.read(output.consumed_capacity());
        }
        Ok(())
    }
}
