//! Signatures of what is sent to others, as Standard Webhooks has them (<https://www.standardwebhooks.com>).
//!
//! Promise: id, time and body are signed together, so none of them can be changed or sent again under another name.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::StepError;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// What a signing secret begins with.
const PREFIX: &str = "whsec_";
/// Because the standard asks for 24 to 64 random bytes, and 192 bits are out of anybody's reach.
const SECRET_BYTES: usize = 24;

/// The header with the message's id: the same for each try at one message.
pub const ID: &str = "webhook-id";
/// The header with the time of this try, in seconds since 1970.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// The header with the signature.
pub const SIGNATURE: &str = "webhook-signature";

/// A new secret, `whsec_…`: what the receiver is given, and what [`sign`] takes.
pub fn new_secret() -> Zeroizing<String> {
    let bytes = Zeroizing::new(rand::random::<[u8; SECRET_BYTES]>());
    let text = Zeroizing::new(STANDARD.encode(*bytes));
    Zeroizing::new(format!("{PREFIX}{}", text.as_str()))
}

/// The signature header's value: `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`.
///
/// An id holds no dot: that stands between what is signed. A secret that is none of [`new_secret`]'s shape is a fault of ours.
pub fn sign(
    secret: &str,
    id: &str,
    timestamp_seconds: i64,
    body: &[u8],
) -> Result<String, StepError> {
    let key = secret
        .strip_prefix(PREFIX)
        .and_then(|key| STANDARD.decode(key).ok())
        .map(Zeroizing::new)
        .ok_or_else(|| StepError::broken("a signing secret is not whsec_ and base64"))?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(StepError::broken)?;
    mac.update(format!("{id}.{timestamp_seconds}.").as_bytes());
    mac.update(body);
    Ok(format!(
        "v1,{}",
        STANDARD.encode(mac.finalize().into_bytes())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the reference implementations' own suites.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const MESSAGE: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";

    #[test]
    fn the_reference_message_has_the_reference_signature() {
        let signature = sign(SECRET, MESSAGE, 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(
            signature.expect("signed"),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn another_id_time_body_or_secret_has_another_signature() {
        let other = new_secret();
        let signatures: std::collections::BTreeSet<String> = [
            sign(SECRET, "msg_1", 1, b"{}"),
            sign(SECRET, "msg_2", 1, b"{}"),
            sign(SECRET, "msg_1", 2, b"{}"),
            sign(SECRET, "msg_1", 1, b"[]"),
            sign(&other, "msg_1", 1, b"{}"),
        ]
        .into_iter()
        .map(|signature| signature.expect("signed"))
        .collect();
        assert_eq!(signatures.len(), 5);
    }

    #[test]
    fn a_new_secret_is_24_bytes_and_never_the_same() {
        let (one, two) = (new_secret(), new_secret());
        let key = one.strip_prefix("whsec_").expect("its prefix");
        assert_eq!(STANDARD.decode(key).expect("base64").len(), 24);
        assert_ne!(*one, *two);
    }

    #[test]
    fn a_malformed_secret_is_a_fault_that_does_not_show_it() {
        for bad in [
            "hunter2",
            "whsec_hunter2!",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ] {
            let error = sign(bad, "msg_1", 1, b"{}").expect_err("malformed");
            assert_eq!(error.kind, domain::ErrorKind::Broken);
            assert!(!error.chain().contains(bad), "{}", error.chain());
        }
    }
}
