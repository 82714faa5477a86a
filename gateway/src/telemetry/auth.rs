//! Metrics of what credentials go by: files and keys, read and not.

use crate::telemetry::metrics::{Own, Reading};

/// See the module's header.
pub(super) const AUTH: [Own; 6] = [
    (
        "auth_reloads",
        None,
        "Times the file of auth was read again.",
        Reading::Counter(|scrape| scrape.auth.reloads.0),
    ),
    (
        "auth_reload_failures",
        None,
        "Times the file of auth could not be read again; what it said before holds.",
        Reading::Counter(|scrape| scrape.auth.reloads.1),
    ),
    (
        "auth_key_loads",
        None,
        "Times the keys of tokens were loaded.",
        Reading::Counter(|scrape| scrape.auth.keys.0),
    ),
    (
        "auth_key_failures",
        None,
        "Times the keys of tokens could not be loaded; those before stay in use.",
        Reading::Counter(|scrape| scrape.auth.keys.1),
    ),
    (
        "auth_revocation_loads",
        None,
        "Times the revocations had changed and were read again.",
        Reading::Counter(|scrape| scrape.auth.revocations.0),
    ),
    (
        "auth_revocation_failures",
        None,
        "Times the revocations could not be read again; those before hold.",
        Reading::Counter(|scrape| scrape.auth.revocations.1),
    ),
];
