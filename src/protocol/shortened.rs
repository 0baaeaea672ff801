//! Quotation of strings of any length.

/// Returns at most `most` characters of a string, and a mark if there are more: enough to
/// recognise it by.
pub fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}
