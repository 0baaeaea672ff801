//! Suggestions for misspelt words.

/// Returns the known word that a misspelt one most likely means: letters are swapped, missing or
/// wrong, or at least the beginning is the same.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.chars().take(60).collect::<String>().to_lowercase();
    let similarity = |candidate: &str| {
        let candidate = candidate.to_lowercase();
        let letters = strsim::normalized_damerau_levenshtein(&word, &candidate);
        let beginning = strsim::jaro_winkler(&word, &candidate);
        // One or two letters are the beginning of too many words.
        let same_beginning = beginning >= 0.84 && word.len() > 2;
        if letters >= 0.66 || same_beginning { letters + beginning } else { 0.0 }
    };
    known
        .into_iter()
        .map(|candidate| (similarity(candidate), candidate))
        .filter(|(similarity, _)| *similarity > 0.0)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}
