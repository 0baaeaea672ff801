//! The acknowledgement of oplock and lease breaks (MS-SMB2 2.2.24).

use std::sync::Weak;

use ::smb2::pack::{Pack, WriteCursor};
use ::smb2::types::Command;
use async_trait::async_trait;

use super::answer::malformed;
use super::break_notification::OPLOCK_NOTIFICATION_BYTES;
use super::tree_connection::TreeConnection;
use super::wire_format::u16_at;
use crate::backend::{BreakAcknowledger, OpError};
use crate::protocol::Acknowledgement;

const LEASE_ACKNOWLEDGMENT_BYTES: u16 = 36;

impl TreeConnection {
    /// Acknowledges a break, without waiting for other requests in flight.
    pub(super) async fn acknowledge(&self, answer: Acknowledgement) -> Result<(), OpError> {
        let expected = match answer {
            Acknowledgement::Oplock { .. } => OPLOCK_NOTIFICATION_BYTES as u16,
            Acknowledgement::Lease { .. } => LEASE_ACKNOWLEDGMENT_BYTES,
        };
        let body = self.request(Command::OplockBreak, &Acknowledgment(answer)).await?;
        match u16_at(&body, 0) == Some(expected) {
            true => Ok(()),
            false => Err(malformed(Command::OplockBreak, "it answers another kind of break")),
        }
    }
}

/// The acknowledger of a connection's breaks. It does not keep the connection alive, so that a wait
/// for breaks ends with the connection.
pub(super) struct Acknowledger(pub(super) Weak<TreeConnection>);

#[async_trait]
impl BreakAcknowledger for Acknowledger {
    async fn acknowledge(&self, answer: Acknowledgement) -> Result<(), OpError> {
        match self.0.upgrade() {
            Some(link) => link.acknowledge(answer).await,
            None => Err(OpError::ConnectionLost("the connection is over".to_string())),
        }
    }
}

/// Oplock and Lease Break Acknowledgment, MS-SMB2 2.2.24.1 and 2.2.24.2.
struct Acknowledgment(Acknowledgement);

impl Pack for Acknowledgment {
    fn pack(&self, cursor: &mut WriteCursor) {
        match self.0 {
            Acknowledgement::Oplock { file_id, level } => {
                cursor.write_u16_le(OPLOCK_NOTIFICATION_BYTES as u16);
                cursor.write_u8(level as u8);
                cursor.write_zeros(5);
                cursor.write_u64_le(file_id.persistent);
                cursor.write_u64_le(file_id.volatile);
            }
            Acknowledgement::Lease { key, state } => {
                cursor.write_u16_le(LEASE_ACKNOWLEDGMENT_BYTES);
                // Reserved and Flags.
                cursor.write_zeros(6);
                cursor.write_bytes(&key);
                cursor.write_u32_le(state.bits());
                // LeaseDuration.
                cursor.write_zeros(8);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::create::OplockLevel;
    use crate::protocol::{FileId, LeaseState};

    fn packed(answer: Acknowledgement) -> Vec<u8> {
        let mut cursor = WriteCursor::new();
        Acknowledgment(answer).pack(&mut cursor);
        cursor.into_inner()
    }

    #[test]
    fn acknowledgements_have_the_layout_of_ms_smb2() {
        let file_id = FileId { persistent: 0x0102_0304, volatile: 0x0A0B_0C0D };
        let mut expected = vec![24, 0, 1, 0, 0, 0, 0, 0];
        expected.extend([4, 3, 2, 1, 0, 0, 0, 0, 0x0D, 0x0C, 0x0B, 0x0A, 0, 0, 0, 0]);
        assert_eq!(packed(Acknowledgement::Oplock { file_id, level: OplockLevel::II }), expected);
        let mut expected = vec![36, 0, 0, 0, 0, 0, 0, 0];
        expected.extend([0xAA; 16]);
        expected.extend([3, 0, 0, 0]);
        expected.extend([0; 8]);
        let (key, state) = ([0xAA; 16], LeaseState::RH);
        assert_eq!(packed(Acknowledgement::Lease { key, state }), expected);
    }
}
