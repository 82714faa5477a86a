//! A table of a TOML file, read strictly: what nobody asked for is an error, with the nearest name.
//!
//! For the file of `auth`. A key that is misspelt there would silently grant what it was to forbid.

use std::cell::RefCell;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{At, AuthError};
use crate::config::nearest;

/// The text of a file, for the lines of what is wrong.
pub(super) struct Page<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

impl Page<'_> {
    pub(super) fn at(&self, span: &Range<usize>) -> At {
        let before = self.text.as_bytes().get(..span.start).unwrap_or(self.text.as_bytes());
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        At { path: self.path.to_owned(), line }
    }
}

/// See the module's header.
pub(super) struct Section<'a> {
    page: &'a Page<'a>,
    /// As its keys are called: `roles.desk`; empty: the whole file.
    name: String,
    table: &'a DeTable<'a>,
    span: Range<usize>,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Section<'a> {
    pub(super) fn whole(page: &'a Page<'a>, table: &'a DeTable<'a>) -> Self {
        Self { page, name: String::new(), table, span: 0..0, asked: RefCell::default() }
    }

    fn inside(&self, name: String, value: &'a Spanned<DeValue<'a>>) -> Result<Self, AuthError> {
        let DeValue::Table(table) = value.get_ref() else {
            let expected = format!("a table, not {}", value.get_ref().type_str());
            return Err(AuthError::Value { at: self.page.at(&value.span()), key: name, expected });
        };
        let span = value.span();
        Ok(Self { page: self.page, name, table, span, asked: RefCell::default() })
    }

    fn named(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    fn find(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.asked.borrow_mut().push(key);
        self.table.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
    }

    /// Where the table begins.
    pub(super) fn at(&self) -> At {
        self.page.at(&self.span)
    }

    /// Where a key's value is, or the table if there is none.
    pub(super) fn at_key(&self, key: &str) -> At {
        let found = self.table.iter().find(|(name, _)| name.get_ref() == key);
        found.map_or_else(|| self.at(), |(_, value)| self.page.at(&value.span()))
    }

    /// That a key's value is not one.
    pub(super) fn refuse(&self, key: &str, expected: impl Into<String>) -> AuthError {
        AuthError::Value { at: self.at_key(key), key: self.named(key), expected: expected.into() }
    }

    /// The table of this name.
    pub(super) fn table(&self, key: &'static str) -> Result<Option<Self>, AuthError> {
        self.find(key).map(|value| self.inside(self.named(key), value)).transpose()
    }

    /// The tables in the table of this name, whatever they are called.
    pub(super) fn tables(&self, key: &'static str) -> Result<Vec<(String, Self)>, AuthError> {
        let Some(outer) = self.table(key)? else { return Ok(Vec::new()) };
        let inner = outer.table.iter().map(|(name, value)| {
            let name = name.get_ref().clone().into_owned();
            let section = outer.inside(outer.named(&name), value)?;
            Ok((name, section))
        });
        inner.collect()
    }

    /// The tables of the list of this name: `[[keys]]`.
    pub(super) fn list(&self, key: &'static str) -> Result<Vec<Self>, AuthError> {
        let Some(value) = self.find(key) else { return Ok(Vec::new()) };
        let DeValue::Array(items) = value.get_ref() else {
            return Err(self.refuse(key, format!("a list of tables, [[{key}]]")));
        };
        items.iter().map(|item| self.inside(self.named(key), item)).collect()
    }

    pub(super) fn text(&self, key: &'static str) -> Result<Option<String>, AuthError> {
        self.find(key)
            .map(|value| match value.get_ref() {
                DeValue::String(text) if !text.is_empty() => Ok(text.clone().into_owned()),
                _ => Err(self.refuse(key, "a text")),
            })
            .transpose()
    }

    pub(super) fn must<T>(&self, key: &str, value: Option<T>) -> Result<T, AuthError> {
        value.ok_or_else(|| AuthError::Missing { at: self.at(), key: self.named(key) })
    }

    pub(super) fn texts(&self, key: &'static str) -> Result<Option<Vec<String>>, AuthError> {
        let Some(value) = self.find(key) else { return Ok(None) };
        let text = |value: &Spanned<DeValue<'_>>| match value.get_ref() {
            DeValue::String(text) => Some(text.clone().into_owned()),
            _ => None,
        };
        let texts = match value.get_ref() {
            DeValue::Array(items) => items.iter().map(text).collect(),
            _ => text(value).map(|one| vec![one]),
        };
        texts.map(Some).ok_or_else(|| self.refuse(key, "a text or a list of texts"))
    }

    /// A whole number of these.
    pub(super) fn number<T: TryFrom<u64>>(
        &self,
        key: &'static str,
        range: std::ops::RangeInclusive<u64>,
    ) -> Result<Option<T>, AuthError> {
        let Some(value) = self.find(key) else { return Ok(None) };
        let digits = match value.get_ref() {
            DeValue::Integer(integer) => integer.as_str().replace('_', ""),
            _ => String::new(),
        };
        let number = digits.parse::<u64>().ok().filter(|number| range.contains(number));
        let number = number.and_then(|number| T::try_from(number).ok());
        let expected = || format!("a whole number from {} to {}", range.start(), range.end());
        number.map(Some).ok_or_else(|| self.refuse(key, expected()))
    }

    pub(super) fn truth(&self, key: &'static str) -> Result<Option<bool>, AuthError> {
        self.find(key)
            .map(|value| match value.get_ref() {
                DeValue::Boolean(truth) => Ok(*truth),
                _ => Err(self.refuse(key, "true or false")),
            })
            .transpose()
    }

    /// A date and time with its offset, as TOML writes it; s since 1970-01-01 UTC.
    pub(super) fn time(&self, key: &'static str) -> Result<Option<u64>, AuthError> {
        let Some(value) = self.find(key) else { return Ok(None) };
        let seconds = match value.get_ref() {
            DeValue::Datetime(time) => super::time::unix_s(time),
            _ => None,
        };
        let expected = "a time with its offset, such as 2027-01-01T00:00:00Z";
        seconds.map(Some).ok_or_else(|| self.refuse(key, expected))
    }

    /// What was not asked for must not be there.
    pub(super) fn finish(self) -> Result<(), AuthError> {
        let asked = self.asked.borrow();
        let strange = self.table.iter().find(|(name, _)| !asked.contains(&&**name.get_ref()));
        let Some((name, _)) = strange else { return Ok(()) };
        Err(AuthError::UnknownKey {
            at: self.page.at(&name.span()),
            key: self.named(name.get_ref()),
            suggestion: nearest(name.get_ref(), asked.iter().copied()),
            expected: asked.join(", "),
        })
    }
}
