//! KMS in this process, behind HTTP, so that the client that production uses is under test.
//!
//! Promise: a data key comes back for its own ciphertext and encryption context alone.

use aws_sdk_kms::Client;
use aws_sdk_kms::config::{BehaviorVersion, Credentials, Region};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

/// Of each ciphertext: the encryption context and the data key.
type Keys = Arc<Mutex<HashMap<String, (Value, String)>>>;

/// A client of a server of its own: one for each test process, in a thread that ends with it.
pub fn kms() -> Client {
    static ENDPOINT: OnceLock<String> = OnceLock::new();
    let endpoint = ENDPOINT.get_or_init(|| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        listener.set_nonblocking(true).expect("a socket");
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                let router = Router::new()
                    .route("/", routing::post(answer))
                    .with_state(Keys::default());
                axum::serve(listener, router).await
            })
        });
        format!("http://{address}")
    });
    Client::from_conf(
        aws_sdk_kms::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(endpoint)
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .build(),
    )
}

async fn answer(State(keys): State<Keys>, headers: HeaderMap, body: String) -> Response {
    let asked: Value = serde_json::from_str(&body).unwrap_or_default();
    let context = asked["EncryptionContext"].clone();
    let mut keys = keys.lock().expect("not poisoned");
    match headers["x-amz-target"].to_str() {
        Ok("TrentService.GenerateDataKey") => {
            let plain = STANDARD.encode(rand::random::<[u8; 32]>());
            let encrypted = STANDARD.encode(rand::random::<[u8; 32]>());
            keys.insert(encrypted.clone(), (context, plain.clone()));
            Json(json!({"KeyId": asked["KeyId"], "Plaintext": plain, "CiphertextBlob": encrypted}))
                .into_response()
        }
        Ok("TrentService.Decrypt") => {
            let encrypted = asked["CiphertextBlob"].as_str().unwrap_or_default();
            match keys.get(encrypted) {
                Some((sealed_in, plain)) if *sealed_in == context => {
                    Json(json!({"KeyId": asked["KeyId"], "Plaintext": plain})).into_response()
                }
                _ => refused("InvalidCiphertextException"),
            }
        }
        _ => refused("UnsupportedOperationException"),
    }
}

fn refused(kind: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({"__type": kind}))).into_response()
}
