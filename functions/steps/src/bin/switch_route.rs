//! Lead the routes to the new containers, by one change of the proxy on each server; undo leads them back.
//!
//! Safe to repeat: routes that lead there already are left alone.

use domain::StepError;
use kit::{At, Done, Step};
use pipelines::steps::release;
use protocol::Call;
use protocol::release::RouteSwitched;
use serde_json::Value;
use sites::Hosts;
use std::collections::BTreeMap;
use steps::release::{EnvironmentNeeds, Place, on_each, undo_on_each};

struct SwitchRoute {
    hosts: Hosts,
}

impl Step for SwitchRoute {
    const NAME: &'static str = release::SWITCH_ROUTE.name;
    type Needs = EnvironmentNeeds;
    type Gives = BTreeMap<String, Value>;

    async fn run(
        &self,
        at: &At,
        _: EnvironmentNeeds,
    ) -> Result<Done<BTreeMap<String, Value>>, StepError> {
        let place = Place::of(at)?;
        on_each(at, |row| {
            let call = Call::RouteSwitch(place.name());
            async move {
                let host = self.hosts.connect(at, row.id).await?;
                let done: RouteSwitched = host.call(call).await?;
                Ok(if done.urls.is_empty() {
                    "no routes".to_string()
                } else {
                    done.urls.join(", ")
                })
            }
        })
        .await
    }

    async fn undo(&self, at: &At, _: EnvironmentNeeds) -> Result<String, StepError> {
        undo_on_each(
            &self.hosts,
            at,
            Call::RouteSwitchBack,
            "the routes had not been switched",
        )
        .await
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> kit::Exit {
    kit::serve(|cloud| SwitchRoute {
        hosts: Hosts::new(cloud),
    })
    .await
}
