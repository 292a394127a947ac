//! The CloudFormation template: what is written by hand in `infra/base.yaml`, and what the pipelines add.
//!
//! Promise: each function has a role of its own with what its steps say they touch, and nothing else.

use crate::asl::pascal;
use crate::functions::{Function, list};
use pipelines::{Permission, Pipeline};
use serde_json::{Map, Value, json};

/// Enough for an SSH session and a few records; more memory is more CPU, which these functions wait without.
const STEP_MEMORY_MB: u32 = 256;

fn sub(text: &str) -> Value {
    json!({"Fn::Sub": text})
}

fn get_att(resource: &str, attribute: &str) -> Value {
    json!({"Fn::GetAtt": [resource, attribute]})
}

/// `base` with the pipelines' functions and machines in it.
pub fn template(base: &Value, pipelines: &[Pipeline]) -> Value {
    let mut template = base.clone();
    let mut added = Map::new();
    for function in list(pipelines) {
        let id = pascal(function.name);
        added.insert(format!("{id}Logs"), log_group(function.name));
        added.insert(id, lambda(&function));
    }
    for pipeline in pipelines {
        added.insert(
            format!("{}Machine", pascal(pipeline.name)),
            machine(pipeline),
        );
    }
    if let Some(resources) = template["Resources"].as_object_mut() {
        resources.extend(added);
    }
    template
}

fn log_group(name: &str) -> Value {
    json!({
        "Type": "AWS::Logs::LogGroup",
        "Properties": {
            "LogGroupName": sub(&format!("/aws/lambda/${{AWS::StackName}}-{name}")),
            "RetentionInDays": {"Ref": "LogRetentionDays"},
        },
    })
}

fn lambda(function: &Function) -> Value {
    let mut statements = vec![json!({
        "Sid": "Records",
        "Effect": "Allow",
        "Action": ["dynamodb:GetItem", "dynamodb:Query", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:ConditionCheckItem"],
        "Resource": get_att("Records", "Arn"),
    })];
    statements.extend(
        function
            .permissions
            .iter()
            .flat_map(|permission| statements_of(*permission)),
    );
    json!({
        "Type": "AWS::Serverless::Function",
        "DependsOn": format!("{}Logs", pascal(function.name)),
        "Properties": {
            "FunctionName": sub(&format!("${{AWS::StackName}}-{}", function.name)),
            "Description": function.title,
            "CodeUri": format!("../target/lambda/{}", function.name),
            "MemorySize": STEP_MEMORY_MB,
            "Timeout": function.timeout.as_secs(),
            "Policies": [{"Version": "2012-10-17", "Statement": statements}],
        },
    })
}

fn statements_of(permission: Permission) -> Vec<Value> {
    let allow = |sid: &str, actions: &[&str], resource: Value| json!({"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource});
    match permission {
        Permission::ReadSecrets => vec![
            allow(
                "ReadSecrets",
                &["dynamodb:GetItem"],
                get_att("Secrets", "Arn"),
            ),
            allow("OpenSecrets", &["kms:Decrypt"], get_att("Key", "Arn")),
        ],
        Permission::WriteSecrets => vec![
            allow(
                "WriteSecrets",
                &["dynamodb:PutItem"],
                get_att("Secrets", "Arn"),
            ),
            allow(
                "SealSecrets",
                &["kms:GenerateDataKey"],
                get_att("Key", "Arn"),
            ),
        ],
        Permission::Archives => vec![allow(
            "Archives",
            &["s3:GetObject", "s3:PutObject"],
            sub("${Archives.Arn}/*"),
        )],
        Permission::DeleteBackups => vec![allow(
            "DeleteBackups",
            &["s3:DeleteObject"],
            sub("${Archives.Arn}/backups/*"),
        )],
    }
}

fn machine(pipeline: &Pipeline) -> Value {
    let mut called: Vec<String> = pipeline
        .steps
        .iter()
        .map(|step| pascal(step.definition.name))
        .collect();
    called.push("Settle".to_string());
    let substitutions: Map<String, Value> = called
        .iter()
        .map(|id| (id.clone(), json!({"Ref": format!("{id}.Version")})))
        .collect();
    // Versions are named, so that a running execution goes on calling what it began with.
    let functions: Vec<Value> = called
        .iter()
        .map(|id| sub(&format!("${{{id}.Arn}}:*")))
        .collect();
    json!({
        "Type": "AWS::Serverless::StateMachine",
        "Properties": {
            "Name": sub(&format!("${{AWS::StackName}}-{}", pipeline.name)),
            "Type": "STANDARD",
            "DefinitionUri": format!("../state-machines/{}.asl.json", pipeline.name),
            "DefinitionSubstitutions": substitutions,
            "Policies": [{"Version": "2012-10-17", "Statement": [
                {"Sid": "Steps", "Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": functions},
            ]}],
        },
    })
}

/// How many resources CloudFormation sees: a function brings its role, version, alias and event sources' mappings.
pub fn resources(template: &Value) -> usize {
    let each = template["Resources"]
        .as_object()
        .into_iter()
        .flat_map(Map::values);
    each.map(|resource| match resource["Type"].as_str() {
        Some("AWS::Serverless::Function") => {
            4 + resource["Properties"]["Events"]
                .as_object()
                .map_or(0, Map::len)
        }
        Some("AWS::Serverless::StateMachine") => 2,
        _ => 1,
    })
    .sum()
}
