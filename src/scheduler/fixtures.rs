//! Settings for the tests of client tasks, built in one place.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::client::ClientSettings;
use crate::backend::{Clock, SMBBackend};

/// Returns settings with time-outs that never pass.
pub fn client_settings(backend: Arc<dyn SMBBackend>, clock: Arc<dyn Clock>) -> ClientSettings {
    let hour_ns = 3_600_000_000_000;
    ClientSettings {
        capabilities: Arc::new(backend.capabilities()),
        backend,
        clock,
        connecting: Arc::new(Semaphore::new(8)),
        seed: 0,
        header: Arc::default(),
        files: None,
        kept_paths: Arc::default(),
        connect_timeout_ns: hour_ns,
        reconnect_timeout_ns: hour_ns,
        op_timeout_ns: hour_ns,
    }
}
