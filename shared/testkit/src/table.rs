//! DynamoDB in this process, behind HTTP, so that the client that production uses is under test.

use crate::requests::Requests;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use std::sync::OnceLock;

/// Where the server of this process listens: one for each process, in a thread that ends with it.
pub fn endpoint() -> &'static str {
    static ENDPOINT: OnceLock<String> = OnceLock::new();
    ENDPOINT.get_or_init(|| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        listener.set_nonblocking(true).expect("a socket");
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                let database = dynoxide::Database::memory().expect("a database");
                dynoxide::server::serve_on(listener, database).await;
            });
        });
        format!("http://{address}")
    })
}

fn config() -> aws_sdk_dynamodb::config::Builder {
    aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(endpoint())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
}

/// A client of that server.
pub fn dynamo() -> Client {
    Client::from_conf(config().build())
}

/// A client of it whose requests are counted.
pub fn dynamo_counted() -> (Client, Requests) {
    let requests = Requests::default();
    let client = Client::from_conf(config().interceptor(requests.clone()).build());
    (client, requests)
}
