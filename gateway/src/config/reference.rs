//! `docs/CONFIG.md`, written from the table of keys. A test compares the file with this.

use std::fmt::Write as _;

use crate::config::keys::KEYS;

/// The whole page.
#[must_use]
pub fn reference() -> String {
    let mut out = String::from(
        "<!-- Generated from gateway/src/config/keys.rs; do not edit. \
         `TICKCAST_REGENERATE=1 cargo test -p gateway --test docs` writes it anew. -->\n\
         # Configuration\n\n\
         Every key can be set in three places. Flags go before environment variables, these before \
         the file, and the file before the default:\n\n\
         ```sh\n\
         gateway --slow-age 10s              # flag\n\
         TICKCAST_SLOW_AGE=10s gateway       # environment variable\n\
         gateway --config tickcast.toml      # file (also TICKCAST_CONFIG): slow-age = \"10s\"\n\
         ```\n\n\
         `gateway --check` prints every key with its value and where that came from, and ends. Wrong \
         configuration is refused before anything starts, with the key, the value, its origin and \
         what was expected; the exit code is then 2.\n\n\
         SIGHUP, or `POST /reload` on the operators' port, reads all three again. Keys that are *live* are taken over \
         then; those that take a *restart* stay as they are, and are named in a warning. If anything is wrong with it, \
         nothing changes ([OPERATIONS.md](OPERATIONS.md#change-the-configuration)).\n",
    );
    let mut group = "";
    for key in KEYS {
        if key.group != group {
            group = key.group;
            // Writing to a String cannot fail.
            let _ = write!(
                out,
                "\n## {group}\n\n| key | variable | default | changes | |\n|---|---|---|---|---|\n"
            );
        }
        let default = if key.default.is_empty() { "none" } else { key.default };
        let _ = writeln!(
            out,
            "| `{}` | `{}` | `{default}` | {} | {} Expects {}. |",
            key.name,
            key.variable(),
            key.reload.word(),
            key.doc.trim(),
            (key.expected)()
        );
    }
    out
}
