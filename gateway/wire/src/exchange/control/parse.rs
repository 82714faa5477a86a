//! Parsing of requests. Faults in the text are reported as serde does, with line and column, for so
//! does the exchange.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;

use super::{ControlError, Fault, Request, RequestId};
use crate::command::IdText;

const METHODS: &str =
    "`SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY`";

impl Request {
    /// Parses one request.
    ///
    /// # Errors
    /// If it is none, with what is wrong and its id if that was readable.
    pub fn parse(text: &[u8]) -> Result<Self, ControlError> {
        match serde_json::from_slice::<Fields>(text) {
            Ok(fields) => fields.request(),
            Err(error) if error.classify() == Category::Data => {
                // It is JSON: the id may stand behind what is wrong.
                let id = serde_json::from_slice(text).ok().and_then(|IdOnly(id)| id);
                Err(ControlError { id, fault: Fault::Shape(error.to_string()) })
            }
            Err(error) => Err(ControlError { id: None, fault: Fault::Syntax(error.to_string()) }),
        }
    }
}

#[derive(Clone, Copy)]
enum Method {
    Subscribe,
    Unsubscribe,
    List,
    SetProperty,
    GetProperty,
}

enum Parameter {
    Text(String),
    Boolean(bool),
    Other,
}

/// What is read of an id: one that is echoed, or `None`.
struct Id(Option<RequestId>);

/// A request's known members.
struct Fields {
    method: Method,
    id: Id,
    /// `None`: left out, which is not the same as empty for methods that must have some.
    parameters: Option<Vec<Parameter>>,
}

impl Fields {
    fn request(self) -> Result<Request, ControlError> {
        let Some(id) = self.id.0 else {
            return Err(ControlError { id: None, fault: Fault::Id });
        };
        let refuse = |fault| Err(ControlError { id: Some(id), fault });
        let parameters = self.parameters.unwrap_or_default();
        match (self.method, &parameters[..]) {
            (Method::Subscribe | Method::Unsubscribe, _) => {
                let mut streams = Vec::with_capacity(parameters.len());
                for parameter in parameters {
                    match parameter {
                        Parameter::Text(name) => streams.push(name),
                        _ => return refuse(Fault::InvalidStream),
                    }
                }
                Ok(match self.method {
                    Method::Unsubscribe => Request::Unsubscribe { id, streams },
                    _ => Request::Subscribe { id, streams },
                })
            }
            (Method::List, []) => Ok(Request::List { id }),
            (Method::List, _)
            | (Method::GetProperty, [_, _, ..])
            | (Method::SetProperty, [_, _, _, ..]) => refuse(Fault::TooManyParameters),
            (_, [Parameter::Text(name), ..]) if name != "combined" => {
                refuse(Fault::UnknownProperty)
            }
            (Method::GetProperty, [Parameter::Text(_)]) => Ok(Request::GetCombined { id }),
            (Method::SetProperty, [Parameter::Text(_), Parameter::Boolean(combined)]) => {
                Ok(Request::SetCombined { id, combined: *combined })
            }
            (_, [Parameter::Text(_), ..]) => refuse(Fault::NotABoolean),
            _ => refuse(Fault::PropertyName),
        }
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let (mut method, mut id, mut parameters) = (None, Id(None), None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "method" => method = Some(map.next_value()?),
                "params" => parameters = map.next_value()?,
                "id" => id = map.next_value()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let method = method.ok_or_else(|| de::Error::missing_field("method"))?;
        if parameters.is_none() && matches!(method, Method::Subscribe | Method::Unsubscribe) {
            return Err(de::Error::missing_field("params"));
        }
        Ok(Fields { method, id, parameters })
    }
}

impl<'de> Deserialize<'de> for Method {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Ok(match name.as_str() {
            "SUBSCRIBE" => Self::Subscribe,
            "UNSUBSCRIBE" => Self::Unsubscribe,
            "LIST_SUBSCRIPTIONS" => Self::List,
            "SET_PROPERTY" => Self::SetProperty,
            "GET_PROPERTY" => Self::GetProperty,
            // Its length is the message's at most, which is limited.
            _ => {
                let text = format!("unknown variant {name}, expected one of {METHODS}");
                return Err(de::Error::custom(text));
            }
        })
    }
}

/// Reads any value; gives what it makes of scalars, and nothing of all else.
trait Scalars: Sized {
    const OTHER: Self;

    fn integer(_value: i64) -> Self {
        Self::OTHER
    }

    fn unsigned(_value: u64) -> Self {
        Self::OTHER
    }

    fn boolean(_value: bool) -> Self {
        Self::OTHER
    }

    fn null() -> Self {
        Self::OTHER
    }

    fn text(text: &str) -> Self;
}

impl Scalars for Id {
    const OTHER: Self = Self(None);

    fn integer(value: i64) -> Self {
        Self(Some(RequestId::Integer(value)))
    }

    fn unsigned(value: u64) -> Self {
        Self(Some(i64::try_from(value).map_or(RequestId::Unsigned(value), RequestId::Integer)))
    }

    fn null() -> Self {
        Self(Some(RequestId::Null))
    }

    fn text(text: &str) -> Self {
        Self(IdText::new(text).map(RequestId::Text))
    }
}

impl Scalars for Parameter {
    const OTHER: Self = Self::Other;

    fn boolean(value: bool) -> Self {
        Self::Boolean(value)
    }

    fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

struct ScalarVisitor<T>(std::marker::PhantomData<T>);

impl<'de, T: Scalars> Visitor<'de> for ScalarVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_i64<E>(self, value: i64) -> Result<T, E> {
        Ok(T::integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<T, E> {
        Ok(T::unsigned(value))
    }

    fn visit_f64<E>(self, _: f64) -> Result<T, E> {
        Ok(T::OTHER)
    }

    fn visit_bool<E>(self, value: bool) -> Result<T, E> {
        Ok(T::boolean(value))
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::null())
    }

    fn visit_str<E>(self, text: &str) -> Result<T, E> {
        Ok(T::text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<T, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(T::OTHER)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(T::OTHER)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor(std::marker::PhantomData))
    }
}

impl<'de> Deserialize<'de> for Parameter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor(std::marker::PhantomData))
    }
}

/// The id of an object of which nothing else is known.
struct IdOnly(Option<RequestId>);

impl<'de> Deserialize<'de> for IdOnly {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(IdVisitor)
    }
}

struct IdVisitor;

impl<'de> Visitor<'de> for IdVisitor {
    type Value = IdOnly;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<IdOnly, A::Error> {
        let mut id = IdOnly(None);
        while let Some(key) = map.next_key::<String>()? {
            if key == "id" {
                id = IdOnly(map.next_value::<Id>()?.0);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(id)
    }
}
