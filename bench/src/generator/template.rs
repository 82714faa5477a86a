//! Topic templates: which topics a connection subscribes to, from its number.
//!
//! `S{n%100}.quote` gives connection `n` the quotes of instrument `n mod 100`; with several topics per
//! connection, `k` counts them: `S{(n*10+k)%100}.quote`. Inside braces stand integers, `n`, `k`,
//! `+ - * / %` and parentheses, with the usual precedence; the value must not be negative.
//!
//! Parsed once by the parent, expanded by each worker for each of its connections.

/// A list of comma-separated templates, each expanded for every `k`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Templates(Vec<Vec<Part>>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Number(Expr),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Expr {
    Literal(i64),
    Connection,
    Topic,
    Binary(Operator, Box<[Expr; 2]>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// Why a text is not a list of templates.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum TemplateError {
    #[error("a '{{' without its '}}'")]
    Brace,
    #[error("an empty topic")]
    Empty,
    #[error("expected a number, n, k or '(' in '{{{0}}}'")]
    Operand(String),
    #[error("'{{{0}}}' goes on behind its end")]
    Trailing(String),
    #[error("'{{…}}' has no value for connection {n}, topic {k}")]
    Value { n: u64, k: u64 },
}

impl Templates {
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        text.split(',').map(|one| parse_one(one.trim())).collect::<Result<_, _>>().map(Self)
    }

    /// The topics of connection `n`, each once, in order of `k`.
    pub(crate) fn expand(&self, n: u64, per_connection: u64) -> Result<Vec<String>, TemplateError> {
        let mut topics: Vec<String> = Vec::new();
        for k in 0..per_connection {
            for template in &self.0 {
                let mut topic = String::new();
                for part in template {
                    match part {
                        Part::Text(text) => topic.push_str(text),
                        Part::Number(expr) => {
                            let value = expr.value(n, k).filter(|value| *value >= 0);
                            let value = value.ok_or(TemplateError::Value { n, k })?;
                            topic.push_str(&value.to_string());
                        }
                    }
                }
                topics.push(topic);
            }
        }
        // Templates without `k` come out the same each time; a set of thousands is still cheap.
        let mut seen = std::collections::HashSet::new();
        topics.retain(|topic| seen.insert(topic.clone()));
        Ok(topics)
    }
}

fn parse_one(text: &str) -> Result<Vec<Part>, TemplateError> {
    if text.is_empty() {
        return Err(TemplateError::Empty);
    }
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('{') {
        let (inside, after) = behind.split_once('}').ok_or(TemplateError::Brace)?;
        if !before.is_empty() {
            parts.push(Part::Text(before.to_owned()));
        }
        let mut parser = Parser { text: inside, at: 0 };
        let expr = parser.sum()?;
        if parser.peek().is_some() {
            return Err(TemplateError::Trailing(inside.to_owned()));
        }
        parts.push(Part::Number(expr));
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    Ok(parts)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while bytes.get(self.at) == Some(&b' ') {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    fn sum(&mut self) -> Result<Expr, TemplateError> {
        let mut left = self.product()?;
        loop {
            let operator = match self.peek() {
                Some(b'+') => Operator::Add,
                Some(b'-') => Operator::Subtract,
                _ => return Ok(left),
            };
            self.at += 1;
            left = Expr::Binary(operator, Box::new([left, self.product()?]));
        }
    }

    fn product(&mut self) -> Result<Expr, TemplateError> {
        let mut left = self.operand()?;
        loop {
            let operator = match self.peek() {
                Some(b'*') => Operator::Multiply,
                Some(b'/') => Operator::Divide,
                Some(b'%') => Operator::Remainder,
                _ => return Ok(left),
            };
            self.at += 1;
            left = Expr::Binary(operator, Box::new([left, self.operand()?]));
        }
    }

    fn operand(&mut self) -> Result<Expr, TemplateError> {
        let expected = || TemplateError::Operand(self.text.to_owned());
        let (text, start) = (self.text, self.at);
        match self.peek() {
            Some(b'n') => {
                self.at += 1;
                Ok(Expr::Connection)
            }
            Some(b'k') => {
                self.at += 1;
                Ok(Expr::Topic)
            }
            Some(b'(') => {
                self.at += 1;
                let inner = self.sum()?;
                if self.peek() != Some(b')') {
                    return Err(TemplateError::Operand(text.to_owned()));
                }
                self.at += 1;
                Ok(inner)
            }
            Some(digit) if digit.is_ascii_digit() => {
                let start = self.at;
                while self.text.as_bytes().get(self.at).is_some_and(u8::is_ascii_digit) {
                    self.at += 1;
                }
                let literal = text[start..self.at].parse();
                literal.map(Expr::Literal).map_err(|_| TemplateError::Operand(text.to_owned()))
            }
            _ => {
                self.at = start;
                Err(expected())
            }
        }
    }
}

impl Expr {
    /// The value for a connection and topic; none if it overflows or divides by zero.
    fn value(&self, n: u64, k: u64) -> Option<i64> {
        Some(match self {
            Self::Literal(value) => *value,
            Self::Connection => i64::try_from(n).ok()?,
            Self::Topic => i64::try_from(k).ok()?,
            Self::Binary(operator, sides) => {
                let (left, right) = (sides[0].value(n, k)?, sides[1].value(n, k)?);
                match operator {
                    Operator::Add => left.checked_add(right)?,
                    Operator::Subtract => left.checked_sub(right)?,
                    Operator::Multiply => left.checked_mul(right)?,
                    Operator::Divide => left.checked_div(right)?,
                    Operator::Remainder => left.checked_rem(right)?,
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_spread_over_topics() {
        let one = Templates::parse("S{n%100}.quote").unwrap();
        assert_eq!(one.expand(250, 1).unwrap(), ["S50.quote"]);
        assert_eq!(one.expand(250, 4).unwrap(), ["S50.quote"], "the same topic is named once");
        let ten = Templates::parse("S{(n*3+k) % 100}.quote, *.status").unwrap();
        let topics = ten.expand(33, 3).unwrap();
        assert_eq!(topics, ["S99.quote", "*.status", "S0.quote", "S1.quote"]);
        let literal = Templates::parse("BRK.B.trade").unwrap();
        assert_eq!(literal.expand(7, 1).unwrap(), ["BRK.B.trade"]);
        let precedence = Templates::parse("S{10-2*3+n/4}").unwrap();
        assert_eq!(precedence.expand(9, 1).unwrap(), ["S6"]);
    }

    #[test]
    fn errors_name_the_expression() {
        assert_eq!(Templates::parse("S{n"), Err(TemplateError::Brace));
        assert_eq!(Templates::parse("a,,b"), Err(TemplateError::Empty));
        assert_eq!(Templates::parse("S{x}"), Err(TemplateError::Operand("x".into())));
        assert_eq!(Templates::parse("S{(n}"), Err(TemplateError::Operand("(n".into())));
        assert_eq!(Templates::parse("S{n n}"), Err(TemplateError::Trailing("n n".into())));
        let zero = Templates::parse("S{n%0}").unwrap();
        assert_eq!(zero.expand(1, 1), Err(TemplateError::Value { n: 1, k: 0 }));
        let negative = Templates::parse("S{n-2}").unwrap();
        assert_eq!(negative.expand(1, 1), Err(TemplateError::Value { n: 1, k: 0 }));
    }
}
