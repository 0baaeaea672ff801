//! The order in which a reader goes through the sections of a client.

use crate::ir::Section;

/// The section that a reader is in; none before the first request.
#[derive(Clone, Copy, Default)]
pub(super) struct SectionCursor(Option<Section>);

/// The result of a request for a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SectionRequest {
    /// The reader has left the section, so that it has no more operations.
    Left,
    /// The reader enters the section, and discards the rest of the one before.
    Entered,
    /// The reader is in the section already.
    Continued,
}

impl SectionCursor {
    pub fn request(&mut self, section: Section) -> SectionRequest {
        let before = self.0.replace(section.max(self.0.unwrap_or_default()));
        match before {
            Some(before) if section < before => SectionRequest::Left,
            Some(before) if section == before => SectionRequest::Continued,
            _ => SectionRequest::Entered,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_entered_once_and_in_order() {
        let mut cursor = SectionCursor::default();
        for (section, expected) in [
            (Section::Setup, SectionRequest::Entered),
            (Section::Setup, SectionRequest::Continued),
            (Section::Teardown, SectionRequest::Entered),
            (Section::Iteration, SectionRequest::Left),
            (Section::Teardown, SectionRequest::Continued),
        ] {
            assert_eq!(cursor.request(section), expected, "{section:?}");
        }
    }
}
