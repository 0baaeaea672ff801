//! The type of a case.

use futures_util::future::BoxFuture;

use super::case_directory::CaseDirectory;
use super::client::{Clients, ProbeClient};
use super::failure::Checked;
use crate::backend::Feature;

/// A case: one property that every server must have.
pub struct Case {
    pub name: &'static str,
    /// The section of MS-SMB2, MS-FSA or MS-FSCC that it follows.
    pub section: &'static str,
    pub needs: &'static [Feature],
    pub run: for<'a> fn(&'a CaseDirectory) -> BoxFuture<'a, Checked>,
    /// Whether a server that fails the case is of no use to a workload.
    pub essential: bool,
    /// The reason why the case runs only against a server that a test started. None if it may run
    /// against any server.
    pub only_on_test_servers: Option<&'static str>,
}

/// The argument of a case's function: the directory of the case, or new clients that work in it.
pub trait CaseArguments<'a>: Sized {
    /// The future is boxed, so that its type says nothing about the lifetime of the arguments.
    fn prepare(directory: &'a CaseDirectory) -> BoxFuture<'a, Checked<Self>>;
}

impl<'a> CaseArguments<'a> for &'a CaseDirectory {
    fn prepare(directory: &'a CaseDirectory) -> BoxFuture<'a, Checked<Self>> {
        Box::pin(async move { Ok(directory) })
    }
}

impl<'a> CaseArguments<'a> for ProbeClient<'a> {
    fn prepare(directory: &'a CaseDirectory) -> BoxFuture<'a, Checked<Self>> {
        Box::pin(directory.client())
    }
}

impl<'a> CaseArguments<'a> for Clients<'a, 2> {
    fn prepare(directory: &'a CaseDirectory) -> BoxFuture<'a, Checked<Self>> {
        Box::pin(directory.pair())
    }
}

impl<'a> CaseArguments<'a> for Clients<'a, 3> {
    fn prepare(directory: &'a CaseDirectory) -> BoxFuture<'a, Checked<Self>> {
        Box::pin(async move {
            let [one, two] = directory.pair().await?;
            Ok([one, two, directory.client().await?])
        })
    }
}

/// Runs the function of a case with the arguments that it takes.
pub fn run<'a, A, C>(
    directory: &'a CaseDirectory,
    function: impl FnOnce(A) -> C + Send + 'a,
) -> BoxFuture<'a, Checked>
where
    A: CaseArguments<'a> + Send + 'a,
    C: Future<Output = Checked> + Send + 'a,
{
    Box::pin(async move { function(A::prepare(directory).await?).await })
}

/// Makes the table of a module's cases. A row is `function: "MS-FSA 2.1.5.1", features it needs…;` with
/// `=> essential()` or `=> only_on_test_servers("why")` before the semicolon. The function takes
/// [`CaseArguments`] and returns [`Checked`]. Cases that differ in values alone share a function:
/// `case = function(values): …`, which takes the values after the [`CaseArguments`].
macro_rules! cases {
    ($(
        $name:ident $(= $function:ident($($value:expr),+))?: $section:literal $(, $feature:ident)*
        $(=> $method:ident($($reason:literal)?))?;
    )+) => {
        pub const CASES: &[$crate::probe::case::Case] = &[$(
            $crate::probe::case::Case {
                name: stringify!($name),
                section: $section,
                needs: &[$($crate::backend::Feature::$feature),*],
                run: |directory| $crate::probe::case::run(
                    directory,
                    $crate::probe::case::function!($name $(, $function, $($value),+)?),
                ),
                essential: false,
                only_on_test_servers: None,
            }
            $(.$method($($reason)?))?
        ),+];
    };
}

/// Returns the function of a row of [`cases`].
macro_rules! function {
    ($name:ident) => { $name };
    ($name:ident, $function:ident, $($value:expr),+) => {
        |arguments| $function(arguments, $($value),+)
    };
}
pub(super) use {cases, function};

impl Case {
    pub const fn essential(mut self) -> Case {
        self.essential = true;
        self
    }

    pub const fn only_on_test_servers(mut self, reason: &'static str) -> Case {
        self.only_on_test_servers = Some(reason);
        self
    }
}
