//! Asking before what cannot be undone.

use std::io::{BufRead, IsTerminal, stderr, stdin};

use super::CliError;

/// Asks on a terminal; a script has to say --yes. `doing` is what the script would do, `question` what a person is asked.
pub fn confirm(doing: &str, question: &str) -> Result<(), CliError> {
    if !stdin().is_terminal() || !stderr().is_terminal() {
        return Err(CliError::usage(format!("{doing} cannot be undone: confirm it with --yes")));
    }
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    stdin().lock().read_line(&mut answer)?;
    if answer.trim().eq_ignore_ascii_case("y") { Ok(()) } else { Err(CliError::failed("nothing was deleted")) }
}
