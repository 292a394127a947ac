//! What a test lets go wrong: on the local AWS, to its functions' processes, on the server.
//!
//! Promise: a fault ends when its guard is dropped, also when the test failed.

use crate::Stack;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A fault of AWS, for as long as it lives.
pub struct Fault {
    file: PathBuf,
}

impl Drop for Fault {
    fn drop(&mut self) {
        // The next one is written over it; a file that stays is seen by the test that fails then.
        let _gone_already = std::fs::remove_file(&self.file);
    }
}

/// The database server stands still, for as long as it lives: what a step asked of it is asked, and not answered.
pub struct Frozen<'a> {
    stack: &'a Stack,
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        let _dead_already = self.stack.on_server(&["pkill", "-CONT", "-x", "mariadbd"]);
    }
}

/// Something on a server of the lab that is not as it should be, for as long as it lives.
pub struct Disturbed<'a> {
    stack: &'a Stack,
    server: String,
    mend: String,
}

impl Drop for Disturbed<'_> {
    fn drop(&mut self) {
        let mended = self
            .stack
            .lab
            .exec(&self.server, &["sh", "-ec", &self.mend]);
        if let Err(error) = mended {
            eprintln!("{} is not mended: {error:#}", self.server);
        }
    }
}

impl Stack {
    /// Let this go wrong on a server of the lab, until `mend` is run there.
    pub fn disturbed(&self, server: &str, script: &str, mend: &str) -> Disturbed<'_> {
        let disturbed = Disturbed {
            stack: self,
            server: server.to_string(),
            mend: mend.to_string(),
        };
        let done = self.lab.exec(server, &["sh", "-ec", script]);
        done.unwrap_or_else(|error| panic!("{script}: {error:#}"));
        disturbed
    }

    /// Let this go wrong, as `infra/local/faults.py` says.
    pub fn fault(&self, mut what: Value) -> Fault {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        what["id"] = json!(NEXT.fetch_add(1, Ordering::SeqCst).to_string());
        let file = xtask::ministack::faults_file(&self.state_dir);
        let new = file.with_extension("new");
        std::fs::write(&new, what.to_string()).expect("a file");
        std::fs::rename(&new, &file).expect("a file");
        Fault { file }
    }

    /// Let the database server stand still.
    pub fn freeze_database(&self) -> Frozen<'_> {
        self.on_server(&["pkill", "-STOP", "-x", "mariadbd"])
            .expect("it runs");
        Frozen { stack: self }
    }

    /// The processes of a function.
    pub fn processes(&self, function: &str) -> Vec<u32> {
        let wanted = format!("AWS_LAMBDA_FUNCTION_NAME=triphammer-{function}");
        let endpoint = format!("AWS_ENDPOINT_URL={}", self.endpoint);
        let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
        processes
            .filter_map(|process| process.file_name().to_str()?.parse().ok())
            .filter(|process: &u32| {
                let environment = std::fs::read(format!("/proc/{process}/environ"));
                let environment = environment.unwrap_or_default();
                let mut lines = environment.split(|byte| *byte == 0);
                lines.clone().any(|line| line == wanted.as_bytes())
                    && lines.any(|line| line == endpoint.as_bytes())
            })
            .collect()
    }

    /// Send a signal to all processes of a function.
    pub fn signal(&self, signal: &str, function: &str) {
        let processes = self.processes(function);
        assert!(!processes.is_empty(), "{function} has a process");
        for process in processes {
            let sent = std::process::Command::new("kill")
                .args([signal, &process.to_string()])
                .status();
            sent.expect("kill");
        }
    }

    /// A call of an AWS service that speaks JSON, as the emulator's root.
    pub async fn aws(&self, service: &str, target: &str, body: Value) -> Value {
        let request = self
            .http
            .post(&self.endpoint)
            .header("x-amz-target", target)
            .header("content-type", "application/x-amz-json-1.0");
        self.sent(request, service, body).await
    }

    /// Invoke a function and wait for its answer.
    pub async fn invoke(&self, function: &str, payload: Value) -> Value {
        let address = format!(
            "{}/2015-03-31/functions/triphammer-{function}/invocations",
            self.endpoint
        );
        self.sent(self.http.post(address), "lambda", payload).await
    }

    async fn sent(&self, request: reqwest::RequestBuilder, service: &str, body: Value) -> Value {
        let credential = format!(
            "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=none"
        );
        let answer = request
            .header("authorization", credential)
            .body(body.to_string())
            .send()
            .await;
        let text = answer.expect("an answer").text().await.expect("a body");
        serde_json::from_str(&text).unwrap_or(Value::String(text))
    }

    /// Stop the local AWS and start it again, with what it had written down.
    pub async fn restart(&self) {
        let port = self.endpoint.rsplit(':').next().expect("a port");
        xtask::ministack::MiniStack::stop(&self.state_dir).expect("stopped");
        xtask::ministack::MiniStack::start(&xtask::ministack::Options {
            state_dir: self.state_dir.clone(),
            port: port.parse().expect("a port"),
            auth: true,
            faults: true,
        })
        .expect("started");
    }

    /// The owner's team.
    pub async fn team(&self) -> String {
        use sha2::{Digest, Sha256};
        let records = self.records().await.expect("the records");
        let hash = hex::encode(Sha256::digest(&self.token));
        let token = records.token_by_hash(&hash).await.expect("an answer");
        token.expect("the owner's token").team_id.to_string()
    }

    /// What the sweeper does every two minutes.
    pub async fn sweep(&self) -> Value {
        self.invoke("sweeper", json!({})).await
    }

    /// The ARN of an execution.
    pub fn execution(&self, pipeline: &str, name: &str) -> String {
        format!("arn:aws:states:us-east-1:000000000000:execution:triphammer-{pipeline}:{name}")
    }

    /// Stop an execution, as a person in the console does.
    pub async fn abort(&self, pipeline: &str, name: &str) {
        let arn = self.execution(pipeline, name);
        let stopped = self
            .aws(
                "states",
                "AWSStepFunctions.StopExecution",
                json!({"executionArn": arn}),
            )
            .await;
        assert!(stopped["stopDate"].is_number(), "{stopped}");
    }
}
