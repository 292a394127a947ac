//! The API's routes, read from its description: a route that is added is one that is tested.
//!
//! Promise: every operation of `openapi.json` is one route, with a body that its schema takes.

use serde_json::{Map, Value, json};

/// What is described and checked in; that it is what the API has, another test holds.
const DESCRIPTION: &str = include_str!("../../openapi.json");

/// The members of a path that are methods.
const METHODS: [&str; 7] = ["get", "put", "post", "delete", "patch", "head", "options"];

/// One operation.
#[derive(Debug, Clone)]
pub struct Route {
    /// `POST`
    pub method: reqwest::Method,
    /// `/v1/sites/{id}`
    pub path: String,
    /// Must a token be sent?
    pub needs_token: bool,
    /// The names of its parameters in the query.
    pub query: Vec<String>,
    /// Some of them must be given.
    pub needs_query: bool,
    body: Option<Value>,
}

impl Route {
    /// `POST /v1/sites/{id}`
    pub fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// Does it read what its owner can read as well, however often, and with no trace?
    pub fn is_kept(&self) -> bool {
        self.method == reqwest::Method::GET
            && self.needs_token
            && !self.needs_query
            // Who reads a value is written down.
            && !self.path.ends_with("/values/{name}")
    }

    /// The same path, asked with another method.
    pub fn with(&self, method: reqwest::Method) -> Self {
        Self {
            method,
            ..self.clone()
        }
    }

    /// The names in its path, without braces.
    pub fn parameters(&self) -> Vec<&str> {
        self.path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
            .collect()
    }

    /// A body that its schema takes; ids in it are those that `id` gives for their schema's name.
    pub fn body(&self, id: &dyn Fn(&str) -> String) -> Option<String> {
        if self.method == reqwest::Method::GET {
            return None;
        }
        let description = description();
        let body = self.body.as_ref().map(|body| {
            let schema = &body["content"]["application/json"]["schema"];
            example(&description, schema, id)
        });
        Some(body.unwrap_or_else(|| json!({})).to_string())
    }
}

fn description() -> Value {
    serde_json::from_str(DESCRIPTION).expect("JSON")
}

/// All of them.
pub fn routes() -> Vec<Route> {
    let description = description();
    let paths = description["paths"].as_object().expect("paths");
    let mut routes = Vec::new();
    for (path, item) in paths {
        for method in METHODS {
            let Some(operation) = item.get(method) else {
                continue;
            };
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let mut needed = parameters.clone();
            let needs_query = needed.any(|one| one["in"] == "query" && one["required"] == true);
            routes.push(Route {
                method: method.to_uppercase().parse().expect("a method"),
                path: path.clone(),
                needs_token: operation["security"] != json!([{}]),
                query: parameters
                    .filter(|parameter| parameter["in"] == "query")
                    .filter_map(|parameter| parameter["name"].as_str().map(str::to_string))
                    .collect(),
                needs_query,
                body: operation.get("requestBody").cloned(),
            });
        }
    }
    assert!(routes.len() > 10, "the description has routes");
    routes
}

/// The least that a schema takes.
fn example(description: &Value, schema: &Value, id: &dyn Fn(&str) -> String) -> Value {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap_or_default();
        if name.ends_with("Id") {
            return id(name).into();
        }
        return example(description, &description["components"]["schemas"][name], id);
    }
    if let Some(first) = schema["oneOf"].get(0) {
        return example(description, first, id);
    }
    if let Some(first) = schema["examples"].get(0).or(schema["enum"].get(0)) {
        return first.clone();
    }
    match schema["type"].as_str() {
        Some("object") => {
            let required = schema["required"].as_array().into_iter().flatten();
            let members = required.filter_map(Value::as_str).map(|name| {
                let member = example(description, &schema["properties"][name], id);
                (name.to_string(), member)
            });
            Value::Object(members.collect::<Map<_, _>>())
        }
        Some("array") => json!([example(description, &schema["items"], id)]),
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(false),
        Some("string") => json!("x"),
        _ => panic!("there is no example yet for this schema: {schema:#}"),
    }
}
