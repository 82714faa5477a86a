//! Which keys change while a gateway runs, and how two configurations differ.

/// Whether a key can change while the gateway runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// It is taken over when the configuration is read again.
    Live,
    /// It is what it was at the start.
    Restart,
}

impl Reload {
    /// The word in the documentation.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Restart => "restart",
        }
    }
}

/// The keys in which a configuration differs from the one in force, in the order of documentation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Those that are taken over.
    pub live: Vec<&'static str>,
    /// Those that take a restart.
    pub restart: Vec<&'static str>,
}
