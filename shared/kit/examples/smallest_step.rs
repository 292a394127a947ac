//! The smallest step there can be: it does nothing, and says so.
//!
//! What it takes is what the runtime takes around every step; `cargo xtask bench` measures that with it.

use kit::step::Nothing;
use kit::{At, Done, Step, StepError};
use serde_json::Value;

struct Rest;

impl Step for Rest {
    const NAME: &'static str = "rest";
    type Needs = Value;
    type Gives = Nothing;

    async fn run(&self, _at: &At, _needs: Value) -> Result<Done<Nothing>, StepError> {
        Ok(Done::With(Nothing {}, "did nothing".to_string()))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> kit::Exit {
    kit::serve(|_| Rest).await
}
