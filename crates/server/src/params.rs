//! Query parameters: each is taken by name, and what nobody took is refused by name.

use std::{borrow::Cow, fmt::Display, str::FromStr};

use crate::{
    percent,
    problem::{Code, Problem},
};

/// More parameters than this in one query are refused.
const PARAMETERS_MAX: usize = 256;

/// The parameters of one request that nobody has taken yet.
pub(crate) struct Params<'q> {
    left: Vec<(Cow<'q, str>, Cow<'q, str>)>,
}

impl<'q> Params<'q> {
    pub(crate) fn parse(query: Option<&'q str>) -> Result<Params<'q>, Problem> {
        let mut left = Vec::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            if left.len() == PARAMETERS_MAX {
                let detail = format!("a query holds at most {PARAMETERS_MAX} parameters");
                return Err(Problem::new(Code::InvalidParameter, detail));
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            left.push((decode(name)?, decode(value)?));
        }
        Ok(Params { left })
    }

    /// The value of a parameter that stands once at most.
    pub(crate) fn take(&mut self, name: &str) -> Result<Option<Cow<'q, str>>, Problem> {
        let value = self.take_first(name);
        if value.is_some() && self.take_first(name).is_some() {
            return Err(invalid(name, format_args!("give `{name}` once")));
        }
        Ok(value)
    }

    /// Every value of a parameter.
    pub(crate) fn take_all(&mut self, name: &str) -> Vec<String> {
        let mut values = Vec::new();
        while let Some(value) = self.take_first(name) {
            values.push(value.into_owned());
        }
        values
    }

    /// Every `name[inner]=value`, as (inner, value).
    pub(crate) fn take_bracketed(&mut self, name: &str) -> Vec<(String, String)> {
        let mut taken = Vec::new();
        self.left.retain(|(have, value)| {
            let inner = have
                .strip_prefix(name)
                .and_then(|rest| rest.strip_prefix('['))
                .and_then(|rest| rest.strip_suffix(']'));
            if let Some(inner) = inner {
                taken.push((inner.to_owned(), value.as_ref().to_owned()));
            }
            inner.is_none()
        });
        taken
    }

    fn take_first(&mut self, name: &str) -> Option<Cow<'q, str>> {
        let at = self.left.iter().position(|(have, _)| have == name)?;
        Some(self.left.remove(at).1)
    }

    /// A value in the form that a type reads; its error says what that is.
    pub(crate) fn take_as<T>(&mut self, name: &str) -> Result<Option<T>, Problem>
    where
        T: FromStr,
        T::Err: Display,
    {
        let Some(value) = self.take(name)? else { return Ok(None) };
        let parsed = value.parse();
        parsed.map(Some).map_err(|error| invalid(name, format_args!("`{name}`: {error}")))
    }

    /// A whole number from 0 to `most`.
    pub(crate) fn take_number<T>(&mut self, name: &str, most: T) -> Result<Option<T>, Problem>
    where
        T: FromStr + PartialOrd + Default + Display,
    {
        let Some(value) = self.take(name)? else { return Ok(None) };
        match value.parse() {
            Ok(number) if number >= T::default() && number <= most => Ok(Some(number)),
            _ => Err(invalid(name, format_args!("`{name}` is a whole number from 0 to {most}"))),
        }
    }

    /// `true`, `false`, or the bare name, which means `true`.
    pub(crate) fn take_flag(&mut self, name: &str) -> Result<bool, Problem> {
        match self.take(name)?.as_deref() {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1" | "") => Ok(true),
            Some(_) => Err(invalid(name, format_args!("`{name}` is `true` or `false`"))),
        }
    }

    /// Refuses what nobody took.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        if self.left.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = self.left.iter().map(|(name, _)| name.as_ref()).collect();
        let detail = format!("unknown: {}; /docs lists what this route takes", names.join(", "));
        let json = serde_json::to_vec(&names).unwrap_or_default();
        Err(Problem::new(Code::UnknownParameter, detail).with_json("parameters", &json))
    }
}

fn decode(text: &str) -> Result<Cow<'_, str>, Problem> {
    let detail = "percent-encode the query as UTF-8";
    percent::decode(text.as_bytes(), true)
        .ok_or_else(|| Problem::new(Code::InvalidParameter, detail))
}

/// A refusal of one parameter.
pub(crate) fn invalid(name: &str, detail: impl Display) -> Problem {
    Problem::new(Code::InvalidParameter, detail.to_string()).with_text("parameter", name)
}
