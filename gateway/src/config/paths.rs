//! Files as configuration values: their paths, not what is in them.

use std::path::PathBuf;

use crate::config::setting::{Refusal, Setting};

/// The path of a file; an empty text stands for none.
pub struct OptionalPath;

impl Setting for OptionalPath {
    type Value = Option<PathBuf>;
    const PLACEHOLDER: &'static str = "FILE";

    fn parse(text: &str) -> Result<Option<PathBuf>, Refusal> {
        Ok(if text.is_empty() { None } else { Some(PathBuf::from(text)) })
    }

    fn expected() -> String {
        "the path of a file".to_owned()
    }

    /// Another file is only another place; whether there is one at all decides what is started.
    fn can_follow(now: &Option<PathBuf>, next: &Option<PathBuf>) -> bool {
        now.is_some() == next.is_some()
    }
}

/// The path of a file, or `none`.
pub struct FileOrNone;

impl Setting for FileOrNone {
    type Value = Option<PathBuf>;
    const PLACEHOLDER: &'static str = "none|FILE";

    fn parse(text: &str) -> Result<Option<PathBuf>, Refusal> {
        match text {
            "" => Err(Refusal::Malformed),
            "none" => Ok(None),
            path => Ok(Some(PathBuf::from(path))),
        }
    }

    fn expected() -> String {
        "none or the path of a file".to_owned()
    }
}
