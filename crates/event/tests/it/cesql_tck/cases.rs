//! The cases of the test kit of CESQL, read from its own files. The server's tests read them too.

use std::collections::BTreeMap;

/// A scalar of YAML: what it says, and whether it stood in quotes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    pub(crate) quoted: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) expression: String,
    pub(crate) result: Option<Scalar>,
    pub(crate) error: Option<String>,
    event: Option<BTreeMap<String, Scalar>>,
    overrides: BTreeMap<String, Scalar>,
}

fn scalar(text: &str) -> Scalar {
    let text = text.trim();
    let within = |quote| text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    if let Some(single) = within('\'') {
        return Scalar { text: single.replace("''", "'"), quoted: true };
    }
    if within('"').is_some() {
        // The escapes that these files have in double quotes are those of JSON.
        let text = serde_json::from_str(text).expect("a scalar in double quotes");
        return Scalar { text, quoted: true };
    }
    Scalar { text: text.to_owned(), quoted: false }
}

/// The cases of one file, in the small part of YAML that the test kit uses. An expression is its
/// text, also where YAML would make a number or a Boolean of it.
pub(crate) fn cases(file: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut in_event = false;
    for line in file.lines().filter(|line| !line.trim().is_empty()) {
        let (name, value) = line.trim().split_once(':').expect("name: value");
        let indent = line.len() - line.trim_start().len();
        if let Some(case_name) = line.strip_prefix("  - name:") {
            cases.push(Case { name: case_name.trim().to_owned(), ..Case::default() });
            continue;
        }
        let Some(case) = cases.last_mut() else { continue };
        match (indent, name) {
            (4, "expression") => case.expression = scalar(value).text,
            (4, "result") => case.result = Some(scalar(value)),
            (4, "error") => case.error = Some(scalar(value).text),
            (4, "event") => (in_event, case.event) = (true, Some(BTreeMap::new())),
            (4, "eventOverrides") => in_event = false,
            (6, _) => {
                let attributes = match &mut case.event {
                    Some(attributes) if in_event => attributes,
                    _ => &mut case.overrides,
                };
                attributes.insert(name.to_owned(), scalar(value));
            }
            _ => panic!("{line:?} is not understood"),
        }
    }
    cases
}

impl Case {
    pub(crate) fn event_json(&self) -> String {
        let mut event = self.event.clone().unwrap_or_else(|| {
            ["id", "source", "type"].map(|name| (name.to_owned(), scalar("any"))).into()
        });
        event.insert("specversion".into(), scalar("\"1.0\""));
        event.extend(self.overrides.clone());
        let members: serde_json::Map<_, _> =
            event.iter().map(|(name, scalar)| (name.clone(), scalar.json())).collect();
        serde_json::Value::Object(members).to_string()
    }

    /// Whether the event is to pass the expression as a filter.
    pub(crate) fn passes(&self) -> bool {
        self.error.is_none() && self.result == Some(scalar("true"))
    }
}

impl Scalar {
    fn json(&self) -> serde_json::Value {
        let plain = (!self.quoted).then(|| serde_json::from_str(&self.text).ok()).flatten();
        plain.unwrap_or_else(|| self.text.clone().into())
    }
}
