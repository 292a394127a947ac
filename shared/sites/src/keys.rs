//! SSH keys: reading a person's, making our own.
//!
//! Promise: what is wrong with a key is said without showing it.

use domain::StepError;
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};
use russh::keys::{PrivateKey, decode_secret_key};
use zeroize::Zeroizing;

/// A private key in OpenSSH or PEM format, without a passphrase.
pub fn read_private(text: &str) -> Result<PrivateKey, StepError> {
    let key = decode_secret_key(text, None).map_err(|_| {
        StepError::refused("bad_private_key", "The private key cannot be read: it must be in OpenSSH or PEM format and have no passphrase.")
    })?;
    if key.is_encrypted() {
        return Err(StepError::refused(
            "bad_private_key",
            "The private key has a passphrase; give one that has none.",
        ));
    }
    Ok(key)
}

/// A new key pair: the private half in OpenSSH format, and the public half as in authorized_keys.
pub fn generate(seed: &[u8; 32]) -> Result<(Zeroizing<String>, String), StepError> {
    let pair = Ed25519Keypair::from_seed(seed);
    let key = PrivateKey::new(KeypairData::from(pair), "").map_err(StepError::broken)?;
    let private = key.to_openssh(LineEnding::LF).map_err(StepError::broken)?;
    let public = key.public_key().to_openssh().map_err(StepError::broken)?;
    Ok((private, public))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_we_made_reads_back() {
        let (private, public) = generate(&[7; 32]).expect("a pair");
        let key = read_private(&private).expect("readable");
        assert_eq!(
            key.public_key().to_openssh().expect("text").trim(),
            public.trim()
        );
        assert!(public.starts_with("ssh-ed25519 "));
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_shown() {
        let error = read_private("hunter2").expect_err("no key");
        assert_eq!(error.code, "bad_private_key");
        assert!(!error.chain().contains("hunter2"));
    }
}
