//! The file of `auth`: roles, keys, and what counts as a token.
//!
//! ```toml
//! [roles.desk]
//! see = ["*.*", "!*.depth"]
//!
//! [[keys]]
//! name = "desk-1"
//! sha256 = "…"
//! role = "desk"
//!
//! [jwt]
//! algorithms = ["RS256"]
//! jwks = "https://issuer.example/jwks.json"
//! ```

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::DeTable;

use super::error::AuthError;
use super::key::Keys;
use super::role::Role;
use super::section::{Page, Section};
use super::token::TokenRules;

/// See the module's header.
#[derive(Debug)]
pub(super) struct Rulebook {
    roles: HashMap<String, Arc<Role>>,
    pub(super) keys: Keys,
    pub(super) tokens: Option<TokenRules>,
    pub(super) revoked_file: Option<PathBuf>,
}

impl Rulebook {
    /// Reads the file. Paths in it are taken from its folder.
    pub(super) fn read(path: &Path) -> Result<Self, AuthError> {
        let text = std::fs::read_to_string(path).map_err(AuthError::unreadable(path))?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, AuthError> {
        let page = Page { path, text };
        let table = DeTable::parse(text).map_err(|error| AuthError::Syntax {
            at: page.at(&error.span().unwrap_or_default()),
            reason: error.message().to_owned(),
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let whole = Section::whole(&page, table.get_ref());
        let roles = whole.tables("roles")?.into_iter();
        let roles = roles.map(|(name, section)| Ok((name, Arc::new(Role::read(section)?))));
        let roles = roles.collect::<Result<HashMap<_, _>, AuthError>>()?;
        let keys = Keys::read(&whole, |role| roles.contains_key(role))?;
        let tokens = whole.table("jwt")?.map(|section| TokenRules::read(section, folder));
        let tokens = tokens.transpose()?;
        let revoked_file = whole.text("revoked-file")?.map(|name| folder.join(name));
        whole.finish()?;
        Ok(Self { roles, keys, tokens, revoked_file })
    }

    /// Whether keys of tokens come from the same place in both.
    pub(super) fn names_same_keys(&self, other: &Self) -> bool {
        let place = |book: &Self| {
            book.tokens
                .as_ref()
                .map(|it| (it.source.as_ref().map(ToString::to_string), it.algorithms().to_vec()))
        };
        place(self) == place(other)
    }

    pub(super) fn role(&self, name: &str) -> Option<&Arc<Role>> {
        self.roles.get(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Rulebook, String> {
        Rulebook::parse(Path::new("auth.toml"), text).map_err(|error| error.to_string())
    }

    const HASH: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_file_is_read() {
        let text = format!(
            "revoked-file = \"gone.txt\"\n[roles.desk]\nsee = [\"*.*\", \"!*.depth\"]\nsessions = 2\n\
             delay = \"15m\"\n[roles.\"two words\"]\n[[keys]]\nname = \"a\"\nsha256 = \"{HASH}\"\n\
             role = \"desk\"\nexpires = 2027-01-01T00:00:00Z\n"
        );
        let book = parse(&text).unwrap();
        let desk = book.role("desk").unwrap();
        assert_eq!((desk.sessions_max.map(u32::from), desk.grant.delay_min), (Some(2), 15));
        assert!(book.role("two words").is_some() && book.tokens.is_none());
        assert_eq!(book.revoked_file.as_deref(), Some(Path::new("gone.txt")));
        assert_eq!(book.keys.named("a").unwrap().expires_s, Some(1_798_761_600));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let key =
            |more: &str| format!("[roles.r]\n[[keys]]\nname = \"a\"\nsha256 = \"{HASH}\"\n{more}");
        for (text, part) in [
            ("a = 1".to_owned(), "line 1: unknown key `a`"),
            ("[role.a]".into(), "line 1: unknown key `role`; did you mean `roles`?"),
            (
                "\n[roles.a]\ndepth-level = 5".into(),
                "line 3: unknown key `roles.a.depth-level`; did you mean `depth-levels`?",
            ),
            ("[roles.a]\nsee = [\"*\"]".into(), "line 2: roles.a.see: expected a rule is written"),
            ("[roles.a]\nsee = [\"*.*\", 7]".into(), "a text or a list of texts"),
            ("[roles.a]\nmax-rate = 0".into(), "a whole number from 1 to 1000"),
            ("[roles.a]\nconflate = 1".into(), "true or false"),
            ("[roles.a]\ndelay = 15".into(), "roles.a.delay: expected a text"),
            ("[roles]\na = 1".into(), "line 2: roles.a: expected a table, not integer"),
            ("[[roles.a]]".into(), "expected a table, not array"),
            ("[keys]".into(), "a list of tables, [[keys]]"),
            (key(""), "line 2: `keys.role` is missing"),
            (key("role = \"s\""), "keys.role: expected the name of a table"),
            (key("role = \"r\"\nexpires = 2027-01-01"), "line 6: keys.expires: expected a time"),
            (key("role = \"r\"\nrol = 1"), "did you mean `role`?"),
            (key("role = \"r\"\n[[keys]]\nname = \"a\"\nsha256 = \"00\"\nrole = \"r\""), "64 hex"),
            ("[jwt]".into(), "`jwt.algorithms` is missing"),
            ("[jwt]\nalgorithms = [\"RS265\"]".into(), "did you mean RS256?"),
            ("[jwt]\nalgorithms = [\"none\"]".into(), "expected HS256, RS256, ES256 or EdDSA"),
            ("[jwt]\nalgorithms = [\"HS256\"]".into(), "HS256 needs `secret-file`"),
            ("[jwt]\nalgorithms = [\"ES256\"]".into(), "ES256 needs `jwks`"),
            (
                "[jwt]\nalgorithms = [\"ES256\"]\njwks = \"http://issuer.example/\"".into(),
                "line 3: jwks = http://issuer.example/: expected https://",
            ),
            (
                "[jwt]\nalgorithms = [\"ES256\"]\njwks = \"http://localhost:1@evil.example/\""
                    .into(),
                "expected https://",
            ),
            ("[jwt]\nalgorithms = \"HS256\"\nsecret-file = \"none/such\"".into(), "none/such"),
            ("[jwt".into(), "line 1: not valid TOML"),
        ] {
            let refused = parse(&text).unwrap_err();
            assert!(refused.starts_with("auth.toml") || part == "none/such", "{refused}");
            assert!(refused.contains(part), "{text}: {refused}");
        }
        for url in ["https://a.example/k", "http://127.0.0.1:8080/k", "http://[::1]/k", "keys.json"]
        {
            let text = format!("[jwt]\nalgorithms = [\"ES256\"]\njwks = \"{url}\"");
            assert!(parse(&text).is_ok(), "{url}");
        }
    }
}
