//! Hints about scripts that use the result of an operation.
//!
//! Operations return nothing, and Lua's errors about nil (`attempt to get length of a nil value`)
//! do not explain why the value is nil. The values are gone by then, so the hint is derived from
//! the source: the line of the error uses the result of a call to a method named like an operation,
//! or uses a variable or function whose value came from such a call. The hint states a fact about
//! operations, so it is true whatever the line means.

use super::chunks::Chunks;
use super::error::place_of;
use super::members::CLIENT_METHODS;

/// Methods of a client that do return something.
const WITH_A_RESULT: [&str; 5] = ["open", "running", "id", "user", "iteration"];

/// Maximum number of lines of a file that are searched. The bounds here keep a malicious script
/// from making the search slow.
const MOST_LINES: usize = 20_000;
/// Maximum length in bytes of a line that is searched.
const LONGEST_LINE: usize = 500;
/// Number of bytes before a `return` in which the beginning of its function is searched.
const MOST_BYTES_OF_A_FUNCTION: usize = 2_000;

/// Returns a hint to add to an error that may be about the result of an operation.
pub(super) fn hint(text: &str, chunks: &Chunks) -> Option<String> {
    let place = place_of(text, &chunks.names)?;
    if !is_about_nothing(&text[place.len()..]) {
        return None;
    }
    let (line, source) = chunks.line_at(place)?;
    let used = used_calls(line).map(|call| call.method).next();
    let method = used.or_else(|| {
        source.lines().take(MOST_LINES).find_map(|of_call| {
            let start = of_call.as_ptr().addr() - source.as_ptr().addr();
            used_calls(of_call).find_map(|call| {
                let named = call.variables(of_call, &source[..start + call.at]);
                named.iter().any(|name| has_word(line, name)).then_some(call.method)
            })
        })
    });
    method.map(|method| {
        format!(
            " (operations of a client, such as c:{method}, return nothing, and only c:open returns a handle: a script never sees results)"
        )
    })
}

/// Parts of messages about a value that is not there, besides the word `nil`.
const ABOUT_NOTHING: [&str; 6] = [
    "missing argument",
    "wrong number of arguments",
    "assertion failed",
    "error() was called without a message",
    "it takes a handle, an offset and a length",
    "takes the lowest and the highest",
];

fn is_about_nothing(problem: &str) -> bool {
    has_word(problem, "nil") || ABOUT_NOTHING.into_iter().any(|words| problem.contains(words))
}

fn is_of_a_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn has_word(text: &str, word: &str) -> bool {
    !word.is_empty()
        && text.match_indices(word).any(|(at, _)| {
            !text[..at].ends_with(is_of_a_word)
                && !text[at + word.len()..].starts_with(is_of_a_word)
        })
}

/// A call to what may be an operation, whose result is used.
struct Call {
    method: &'static str,
    /// Position in the line at which the expression begins, in bytes.
    at: usize,
}

/// Returns calls whose result is used in an expression.
fn used_calls(line: &str) -> impl Iterator<Item = Call> {
    let line = if line.len() > LONGEST_LINE { "" } else { line };
    let methods = CLIENT_METHODS.iter().filter(|method| !WITH_A_RESULT.contains(*method));
    methods.flat_map(move |method| {
        line.match_indices(*method).filter_map(move |(at, _)| {
            let after = line[at + method.len()..].trim_start();
            let object = line[..at].strip_suffix([':', '.'])?;
            if !after.starts_with(['(', '"', '\'', '{', '[']) || !object.ends_with(is_of_an_object)
            {
                return None;
            }
            let before = object.trim_end_matches(is_of_an_object);
            let joined = object[before.len()..].contains("..");
            let used = joined || is_used_from_before(before) || is_used_from_behind(after);
            used.then_some(Call { method, at: before.len() })
        })
    })
}

fn is_of_an_object(c: char) -> bool {
    is_of_a_word(c) || matches!(c, '.' | '[' | ']')
}

fn is_used_from_before(before: &str) -> bool {
    let before = before.trim_end();
    let word = &before[before.trim_end_matches(is_of_a_word).len()..];
    match word {
        "" if before.ends_with("..") => true,
        "" => {
            before.ends_with(['=', '#', '(', ',', '{', '+', '-', '*', '/', '%', '^', '<', '>', '~'])
        }
        word => ["not", "in", "and", "or", "return"].contains(&word),
    }
}

/// Returns whether the text after the call uses its result. `after` begins with the arguments of
/// the call.
fn is_used_from_behind(after: &str) -> bool {
    let mut depth = 0;
    let mut quote = None;
    for (at, c) in after.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '(' | '{' | '[') => depth += 1,
            (None, ')' | '}' | ']') => depth -= 1,
            (None, _) => {}
        }
        if depth == 0 && quote.is_none() {
            let behind = after[at + c.len_utf8()..].trim_start();
            let operators = ['.', '[', '(', ':', '+', '-', '*', '/', '%', '^', '<', '>', '=', '~'];
            return behind.starts_with(operators) && !behind.starts_with("--");
        }
    }
    false
}

impl Call {
    /// Returns the names that hold the result of the call: those left of `=`, or the name of the
    /// function that returns it. `before` is the file up to the call.
    fn variables(&self, line: &str, before: &str) -> Vec<String> {
        let of_line = line[..self.at].trim_end();
        if let Some((left, values)) = of_line.rsplit_once('=')
            && !left.ends_with(['=', '<', '>', '~'])
            && !values.contains(['(', '{', '['])
            && (values.is_empty() || values.ends_with(','))
        {
            return assigned(left);
        }
        if !of_line.ends_with("return") {
            return Vec::new();
        }
        let mut from = before.len().saturating_sub(MOST_BYTES_OF_A_FUNCTION);
        while !before.is_char_boundary(from) {
            from += 1;
        }
        let before = &before[from..];
        let Some(at) = before.rfind("function") else { return Vec::new() };
        let head = &before[at + "function".len()..];
        let name = head.split('(').next().unwrap_or_default().trim();
        match name.rsplit(['.', ':']).next() {
            Some(name) if !name.is_empty() => vec![name.to_string()],
            _ => before[..at].trim_end().strip_suffix('=').map(assigned).unwrap_or_default(),
        }
    }
}

/// Returns the names before a `=` that ends a line.
fn assigned(left: &str) -> Vec<String> {
    let left = left.rsplit(['\n', ';']).next().unwrap_or_default();
    let names = left.split(',').map(|name| {
        let name = name.trim_end();
        name[name.trim_end_matches(is_of_a_word).len()..].to_string()
    });
    names.filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint_in(source: &str, error: &str) -> Option<String> {
        let mut chunks = Chunks::default();
        chunks.add("s.lua", "s.lua", source);
        hint(error, &chunks)
    }

    #[test]
    fn a_file_of_any_form_is_looked_at_without_harm() {
        let error = "s.lua:3: attempt to get length of a nil value";
        let windows = "-- ä\r\nlocal ö, names = 'ä', c:list('')\r\nprint(#names)\r\n";
        assert!(hint_in(windows, error).unwrap().contains("c:list"));
        let returned =
            "-- ä\r\nlocal names = function(c) return c:list('ä') end\r\nprint(#names(c))";
        assert!(hint_in(returned, error).unwrap().contains("c:list"));
        for odd in
            ["", ":list(", "\n\n:list(ä", "\n\n#:list('", "\n\nreturn c:list((((", "\n\n=.stat{"]
        {
            hint_in(odd, error);
        }
        let long = format!("{}\n\nprint(#names)", "local x = c:list('')".repeat(50_000));
        assert_eq!(hint_in(&long, error), None);
        let many = "local x = f(c:list('')) return c:stat('')\n".repeat(20_000);
        hint_in(&many, error);
        for place in ["s.lua:0: nil", "s.lua:99999999999999999999: nil", "t.lua:1: nil", "nil"] {
            assert_eq!(hint_in(windows, place), None);
        }
    }

    #[test]
    fn a_call_whose_result_nobody_uses_is_none_that_is_meant() {
        for line in [
            "c:stat(x.name)",
            "if x then c:stat(x.name) end",
            "pcall(function() c:stat(x.name) end)",
            "c:stat('a') -- #names",
            "c:stat('a') local y = x.name",
            "local h = c:open(x.name, 'r')",
            "while c:running() do x.go() end",
        ] {
            let error = "s.lua:1: attempt to index nil with 'name'";
            assert_eq!(hint_in(line, error), None, "{line}");
        }
    }
}
