//! Standard output, for people: whoever has read enough of it and goes (`| head`) is no failure.

use std::fmt::Display;
use std::io::{self, Write};

/// Prints text as it is.
pub(crate) fn say(text: impl Display) {
    // Nobody is there to be told that nobody listens; a full disk behind it shows in what is missing.
    let _ = write!(io::stdout().lock(), "{text}");
}
