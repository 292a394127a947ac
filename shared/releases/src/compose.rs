//! The Compose file of a release: people's own, or the one made for an image or a Dockerfile.
//!
//! Promise: every source ends as one Compose file, so that everything behind it knows one form.

use domain::DeploymentId;
use domain::release::{APP, Source};
use pipelines::inputs::Release;
use serde_json::{Map, Value, json};

/// Under which name the servers know an image that is built for a deployment.
pub fn built_tag(host_name: &str, deployment: DeploymentId) -> String {
    let tag = deployment.to_string().to_ascii_lowercase();
    format!("triphammer/{host_name}:{tag}")
}

/// The file's text. JSON is YAML, and a JSON writer leaves no doubt about quotes.
pub fn compose(input: &Release, deployment: DeploymentId) -> String {
    let image = match &input.source {
        Source::Compose { file, .. } => return file.clone(),
        Source::Image { image } => image.clone(),
        Source::Repository { .. } | Source::Archive { .. } => {
            built_tag(&input.host_name, deployment)
        }
    };
    let values: Map<String, Value> = input
        .value_names
        .iter()
        .map(|name| (name.clone(), json!(format!("${{{name}}}"))))
        .collect();
    let app = json!({
        // A dollar sign in a name would be read as a variable.
        "image": image.replace('$', "$$"),
        "environment": values,
        "deploy": {"replicas": input.replicas},
        "restart": "unless-stopped",
    });
    serde_json::to_string_pretty(&json!({"services": {APP: app}})).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::tests::input;

    fn deployment() -> DeploymentId {
        DeploymentId::from_parts(1, 2)
    }

    #[test]
    fn a_compose_file_stays_as_people_wrote_it() {
        let file = "services: {web: {image: a}} # mine\n".to_string();
        let release = Release {
            source: Source::Compose {
                file: file.clone(),
                profiles: Vec::new(),
            },
            ..input()
        };
        assert_eq!(compose(&release, deployment()), file);
    }

    #[test]
    fn an_image_becomes_a_service_that_is_given_every_value_by_name() {
        let release = Release {
            value_names: vec!["TOKEN".to_string()],
            ..input()
        };
        let made: Value = serde_json::from_str(&compose(&release, deployment())).expect("JSON");
        let app = &made["services"][APP];
        assert_eq!(app["image"], "registry.test:5000/app:v1");
        assert_eq!(app["environment"], json!({"TOKEN": "${TOKEN}"}));
        assert_eq!(app["deploy"]["replicas"], 1);
    }

    #[test]
    fn a_dockerfiles_image_is_named_by_its_environment_and_deployment() {
        let release = Release {
            source: Source::Archive {
                build: domain::release::Build::default(),
            },
            ..input()
        };
        let made: Value = serde_json::from_str(&compose(&release, deployment())).expect("JSON");
        let tag = built_tag("shop-web-production-k3v9q2", deployment());
        assert_eq!(made["services"][APP]["image"], tag);
        assert!(tag.starts_with("triphammer/shop-web-production-k3v9q2:0"));
    }
}
