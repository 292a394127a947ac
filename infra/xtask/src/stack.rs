//! Deploying the template to the local stack: the same template that goes to AWS.
//!
//! Promise: what `sam deploy` does with local paths (upload, rewrite) and nothing else; unchanged code is not uploaded again.

use crate::build::{root, say};
use crate::package::Package;
use anyhow::{Context, Result, bail};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_cloudformation::types::{Capability, Parameter, StackStatus};
use aws_sdk_s3::primitives::ByteStream;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::time::Duration;

/// The local stack's name.
pub const STACK: &str = "triphammer";
/// The bucket for code, templates and machines.
const CODE_BUCKET: &str = "triphammer-code";
/// A deployment takes a second or two; a minute means that it hangs.
const STACK_WITHIN: Duration = Duration::from_secs(60);

/// A deployed stack's outputs.
pub type Outputs = BTreeMap<String, String>;

/// How to reach the local AWS. Its credentials are the emulator's root, and mean nothing elsewhere.
pub async fn config(endpoint: &str) -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .region(Region::new("us-east-1"))
        .credentials_provider(aws_sdk_s3::config::Credentials::new(
            "test", "test", None, None, "local",
        ))
        .load()
        .await
}

/// Upload what changed, then create or update the stack.
pub async fn deploy(
    endpoint: &str,
    packages: &[Package],
    parameters: &[(&str, String)],
) -> Result<Outputs> {
    let config = config(endpoint).await;
    let s3 = s3(&config);
    let _exists_already = s3.create_bucket().bucket(CODE_BUCKET).send().await;
    let text = std::fs::read_to_string(root().join("infra/template.yaml"))
        .context("infra/template.yaml is missing; run: cargo xtask generate")?;
    let mut template: Value = serde_yaml_ng::from_str(&text)?;
    let mut uploaded = 0;
    for resource in template["Resources"]
        .as_object_mut()
        .into_iter()
        .flat_map(|resources| resources.values_mut())
    {
        let properties = &mut resource["Properties"];
        if let Some(path) = properties["CodeUri"].as_str() {
            let name = path.rsplit('/').next().unwrap_or_default().to_string();
            let package = packages
                .iter()
                .find(|package| package.name == name)
                .with_context(|| format!("{path} in the template is no function of ours"))?;
            let (code, new) = upload_code(&s3, package).await?;
            uploaded += u32::from(new);
            properties["CodeUri"] = code;
        }
        if let Some(path) = properties["DefinitionUri"].as_str() {
            let file = root().join("infra").join(path);
            let bytes = std::fs::read(&file).with_context(|| {
                format!("{} is missing; run: cargo xtask generate", file.display())
            })?;
            let key = format!("machines/{}.json", hex::encode(Sha256::digest(&bytes)));
            upload(&s3, &key, bytes).await?;
            properties["DefinitionUri"] = json!({"Bucket": CODE_BUCKET, "Key": key});
        }
    }
    if uploaded > 0 {
        say(format!("uploaded {uploaded} functions"));
    }
    apply(endpoint, STACK, &template, parameters).await
}

fn s3(config: &SdkConfig) -> aws_sdk_s3::Client {
    aws_sdk_s3::Client::from_conf(
        aws_sdk_s3::config::Builder::from(config)
            .force_path_style(true)
            .build(),
    )
}

/// A `CodeUri` of this package, in the bucket that a deployment made.
pub async fn code(endpoint: &str, package: &Package) -> Result<Value> {
    let s3 = s3(&config(endpoint).await);
    Ok(upload_code(&s3, package).await?.0)
}

async fn upload_code(s3: &aws_sdk_s3::Client, package: &Package) -> Result<(Value, bool)> {
    let key = format!("{}/{}.zip", package.name, package.sha256);
    let new = upload(s3, &key, std::fs::read(&package.path)?).await?;
    Ok((json!({"Bucket": CODE_BUCKET, "Key": key}), new))
}

/// True when it was not there yet.
async fn upload(s3: &aws_sdk_s3::Client, key: &str, bytes: Vec<u8>) -> Result<bool> {
    if s3
        .head_object()
        .bucket(CODE_BUCKET)
        .key(key)
        .send()
        .await
        .is_ok()
    {
        return Ok(false);
    }
    s3.put_object()
        .bucket(CODE_BUCKET)
        .key(key)
        .body(ByteStream::from(bytes))
        .send()
        .await
        .with_context(|| format!("uploading {key}"))?;
    Ok(true)
}

/// Create or update a stack from a template whose code is uploaded.
pub async fn apply(
    endpoint: &str,
    name: &str,
    template: &Value,
    parameters: &[(&str, String)],
) -> Result<Outputs> {
    let config = config(endpoint).await;
    let cloudformation = aws_sdk_cloudformation::Client::new(&config);
    let body = serde_json::to_vec(template)?;
    let key = format!("templates/{}.json", hex::encode(Sha256::digest(&body)));
    upload(&s3(&config), &key, body).await?;
    let template_url = format!("{endpoint}/{CODE_BUCKET}/{key}");
    let parameters: Vec<Parameter> = parameters
        .iter()
        .map(|(key, value)| {
            Parameter::builder()
                .parameter_key(*key)
                .parameter_value(value)
                .build()
        })
        .collect();
    let capabilities = [
        Capability::CapabilityIam,
        Capability::CapabilityNamedIam,
        Capability::CapabilityAutoExpand,
    ];
    let exists = cloudformation
        .describe_stacks()
        .stack_name(name)
        .send()
        .await
        .is_ok_and(|reply| {
            reply
                .stacks()
                .iter()
                .any(|stack| stack.stack_status() != Some(&StackStatus::DeleteComplete))
        });
    if exists {
        let update = cloudformation
            .update_stack()
            .stack_name(name)
            .template_url(&template_url)
            .set_parameters(Some(parameters))
            .set_capabilities(Some(capabilities.to_vec()))
            .send()
            .await;
        if let Err(error) = update {
            let message = format!("{:?}", error.into_service_error());
            if !message.contains("No updates are to be performed") {
                bail!("the stack was not updated: {message}");
            }
        }
    } else {
        say("creating the stack");
        cloudformation
            .create_stack()
            .stack_name(name)
            .template_url(&template_url)
            .set_parameters(Some(parameters))
            .set_capabilities(Some(capabilities.to_vec()))
            .send()
            .await
            .context("creating the stack")?;
    }
    let deadline = tokio::time::Instant::now() + STACK_WITHIN;
    loop {
        let reply = cloudformation
            .describe_stacks()
            .stack_name(name)
            .send()
            .await?;
        let stack = reply.stacks().first().context("the stack is gone")?;
        let status = stack
            .stack_status()
            .map(|status| status.as_str().to_string())
            .unwrap_or_default();
        match status.as_str() {
            "CREATE_COMPLETE" | "UPDATE_COMPLETE" => {
                return Ok(stack
                    .outputs()
                    .iter()
                    .filter_map(|output| {
                        Some((
                            output.output_key()?.to_string(),
                            output.output_value()?.to_string(),
                        ))
                    })
                    .collect());
            }
            _ if status.ends_with("IN_PROGRESS") && tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(200)).await
            }
            _ => bail!(
                "the stack is {status}: {}",
                stack
                    .stack_status_reason()
                    .unwrap_or("see the local stack's log")
            ),
        }
    }
}
