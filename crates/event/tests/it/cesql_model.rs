//! The language against a model: a tree that is walked, written with no thought of speed.

use annal_event::{
    Event,
    cesql::{Expression, Failure, Value},
    proto,
};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Tree {
    Integer(i32),
    Boolean(bool),
    Text(&'static str),
    Attribute(&'static str),
    Exists(&'static str),
    Not(Box<Tree>),
    Negate(Box<Tree>),
    Binary(&'static str, Box<Tree>, Box<Tree>),
    Like(Box<Tree>, bool, &'static str),
    In(Box<Tree>, bool, Vec<Tree>),
    Call(&'static str, Vec<Tree>),
}

#[derive(Clone, Debug, PartialEq)]
enum Model {
    Boolean(bool),
    Integer(i32),
    Text(String),
}

/// The kind of failure, as the test kit calls it.
type Outcome = Result<Model, &'static str>;

const TEXTS: [&str; 8] = ["", "a", "ab", "true", "FALSE", "7", "-1", "é"];
const NAMES: [&str; 6] = ["type", "subject", "text", "number", "flag", "missing"];
const BINARY: [&str; 15] =
    ["AND", "OR", "XOR", "=", "!=", "<>", "<", "<=", ">", ">=", "+", "-", "*", "/", "%"];
const PATTERNS: [&str; 8] = ["%", "a%", "%a", "_", "a_", "%e%", "tr%e", "7"];

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        prop::sample::select(vec![0, 1, 7, -1, i32::MAX, i32::MIN]).prop_map(Tree::Integer),
        any::<bool>().prop_map(Tree::Boolean),
        prop::sample::select(TEXTS.to_vec()).prop_map(Tree::Text),
        prop::sample::select(NAMES.to_vec()).prop_map(Tree::Attribute),
        prop::sample::select(NAMES.to_vec()).prop_map(Tree::Exists),
    ];
    leaf.prop_recursive(6, 40, 4, |inner| {
        let boxed = inner.clone().prop_map(Box::new).boxed();
        let several = prop::collection::vec(inner, 1..4);
        let functions = prop::sample::select(vec!["ABS", "LENGTH", "CONCAT", "BOOL", "NOWHERE"]);
        let patterns = prop::sample::select(PATTERNS.to_vec());
        prop_oneof![
            2 => boxed.clone().prop_map(Tree::Not),
            1 => boxed.clone().prop_map(Tree::Negate),
            4 => (prop::sample::select(BINARY.to_vec()), boxed.clone(), boxed.clone())
                .prop_map(|(operator, left, right)| Tree::Binary(operator, left, right)),
            1 => (boxed.clone(), any::<bool>(), patterns).prop_map(|(x, no, p)| Tree::Like(x, no, p)),
            1 => (boxed, any::<bool>(), several.clone()).prop_map(|(x, no, set)| Tree::In(x, no, set)),
            1 => (functions, several).prop_map(|(name, arguments)| Tree::Call(name, arguments)),
        ]
    })
}

fn list(trees: &[Tree]) -> String {
    trees.iter().map(Tree::written).collect::<Vec<_>>().join(", ")
}

impl Tree {
    fn written(&self) -> String {
        let not = |negated: &bool| if *negated { "NOT " } else { "" };
        match self {
            Tree::Integer(number) => number.to_string(),
            Tree::Boolean(value) => value.to_string(),
            Tree::Text(text) => format!("'{text}'"),
            Tree::Attribute(name) => (*name).to_owned(),
            Tree::Exists(name) => format!("EXISTS {name}"),
            Tree::Not(operand) => format!("NOT ({})", operand.written()),
            Tree::Negate(operand) => format!("-({})", operand.written()),
            Tree::Binary(operator, left, right) => {
                format!("({}) {operator} ({})", left.written(), right.written())
            }
            Tree::Like(operand, negated, pattern) => {
                format!("({}) {}LIKE '{pattern}'", operand.written(), not(negated))
            }
            Tree::In(operand, negated, set) => {
                format!("({}) {}IN ({})", operand.written(), not(negated), list(set))
            }
            Tree::Call(name, arguments) => format!("{name}({})", list(arguments)),
        }
    }

    fn value(&self, event: &Event<'_>) -> Outcome {
        Ok(match self {
            Tree::Integer(number) => Model::Integer(*number),
            Tree::Boolean(value) => Model::Boolean(*value),
            Tree::Text(text) => Model::Text((*text).to_owned()),
            Tree::Attribute(name) => attribute(event, name).ok_or("missingAttribute")?,
            Tree::Exists(name) => Model::Boolean(attribute(event, name).is_some()),
            Tree::Not(operand) => match operand.value(event)? {
                Model::Integer(_) => return Err("cast"),
                other => Model::Boolean(!other.boolean()?),
            },
            Tree::Negate(operand) => {
                Model::Integer(operand.value(event)?.integer()?.checked_neg().ok_or("math")?)
            }
            Tree::Binary(operator, left, right) => return binary(operator, left, right, event),
            Tree::Like(operand, negated, pattern) => {
                let text: Vec<char> = operand.value(event)?.text().chars().collect();
                let pattern: Vec<char> = pattern.chars().collect();
                Model::Boolean(like(&text, &pattern) != *negated)
            }
            Tree::In(operand, negated, set) => {
                let value = operand.value(event)?;
                for element in set {
                    if element.value(event)?.cast_like(&value)? == value {
                        return Ok(Model::Boolean(!negated));
                    }
                }
                Model::Boolean(*negated)
            }
            Tree::Call(name, arguments) => return call(name, arguments, event),
        })
    }
}

fn attribute(event: &Event<'_>, name: &str) -> Option<Model> {
    Some(match name {
        "type" => Model::Text(event.ty.to_string()),
        "subject" => Model::Text(event.subject.as_deref()?.to_owned()),
        _ => match event.extension(name)? {
            annal_event::Value::Boolean(value) => Model::Boolean(*value),
            annal_event::Value::Integer(value) => Model::Integer(*value),
            other => Model::Text(other.canonical().into_owned()),
        },
    })
}

fn binary(operator: &str, left: &Tree, right: &Tree, event: &Event<'_>) -> Outcome {
    let left = left.value(event)?;
    match operator {
        "AND" if !left.boolean()? => return Ok(Model::Boolean(false)),
        "OR" if left.boolean()? => return Ok(Model::Boolean(true)),
        _ => {}
    }
    let right = right.value(event)?;
    let numbers = || Ok::<_, &'static str>((left.integer()?, right.integer()?));
    let compare = |holds: fn(&i32, &i32) -> bool| {
        let (left, right) = numbers()?;
        Ok(Model::Boolean(holds(&left, &right)))
    };
    let calculate = |result: fn(i64, i64) -> Option<i64>| {
        let (left, right) = numbers()?;
        let result = result(left.into(), right.into()).ok_or("math")?;
        Ok(Model::Integer(i32::try_from(result).map_err(|_| "math")?))
    };
    match operator {
        "AND" | "OR" => Ok(Model::Boolean(right.boolean()?)),
        "XOR" => Ok(Model::Boolean(left.boolean()? ^ right.boolean()?)),
        "=" => Ok(Model::Boolean(left.cast_like(&right)? == right)),
        "!=" | "<>" => Ok(Model::Boolean(left.cast_like(&right)? != right)),
        "<" => compare(i32::lt),
        "<=" => compare(i32::le),
        ">" => compare(i32::gt),
        ">=" => compare(i32::ge),
        "+" => calculate(|left, right| Some(left + right)),
        "-" => calculate(|left, right| Some(left - right)),
        "*" => calculate(|left, right| Some(left * right)),
        "/" => calculate(|left, right| (right != 0).then(|| left / right)),
        _ => calculate(|left, right| (right != 0).then(|| left % right)),
    }
}

/// By trying everything: exponential, and plain.
fn like(text: &[char], pattern: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some(('%', rest)) => (0..=text.len()).any(|skip| like(&text[skip..], rest)),
        Some((wanted, rest)) => text
            .split_first()
            .is_some_and(|(have, after)| (*wanted == '_' || wanted == have) && like(after, rest)),
    }
}

fn call(name: &str, arguments: &[Tree], event: &Event<'_>) -> Outcome {
    if name == "NOWHERE" || name != "CONCAT" && arguments.len() != 1 {
        return Err("missingFunction");
    }
    let mut values = Vec::new();
    for argument in arguments {
        values.push(argument.value(event)?);
    }
    Ok(match name {
        "ABS" => Model::Integer(values[0].integer()?.checked_abs().ok_or("math")?),
        "LENGTH" => Model::Integer(values[0].text().chars().count() as i32),
        "BOOL" => Model::Boolean(values[0].boolean()?),
        _ => Model::Text(values.iter().map(Model::text).collect()),
    })
}

impl Model {
    fn boolean(&self) -> Result<bool, &'static str> {
        match self {
            Model::Boolean(value) => Ok(*value),
            Model::Integer(value) => Ok(*value != 0),
            Model::Text(text) => text.to_lowercase().parse().map_err(|_| "cast"),
        }
    }

    fn integer(&self) -> Result<i32, &'static str> {
        match self {
            Model::Boolean(value) => Ok(i32::from(*value)),
            Model::Integer(value) => Ok(*value),
            Model::Text(text) => text.parse().map_err(|_| "cast"),
        }
    }

    fn text(&self) -> String {
        match self {
            Model::Boolean(value) => value.to_string(),
            Model::Integer(value) => value.to_string(),
            Model::Text(text) => text.clone(),
        }
    }

    fn cast_like(&self, other: &Model) -> Outcome {
        Ok(match other {
            Model::Boolean(_) => Model::Boolean(self.boolean()?),
            Model::Integer(_) => Model::Integer(self.integer()?),
            Model::Text(_) => Model::Text(self.text()),
        })
    }

    fn of(value: Value<'_>) -> Model {
        match value {
            Value::Boolean(value) => Model::Boolean(value),
            Value::Integer(value) => Model::Integer(value),
            Value::Text(text) => Model::Text(text.to_string()),
        }
    }
}

fn kind(failure: &Failure<'_>) -> &'static str {
    match failure {
        Failure::Math(_) => "math",
        Failure::Cast { .. } => "cast",
        Failure::MissingAttribute(_) => "missingAttribute",
        Failure::MissingFunction { .. } => "missingFunction",
        _ => "other",
    }
}

fn event() -> impl Strategy<Value = Event<'static>> {
    let text = || prop::sample::select(TEXTS[1..].to_vec());
    let extensions =
        (prop::option::of(text()), prop::option::of(-2..8_i32), prop::option::of(any::<bool>()));
    (text(), prop::option::of(text()), extensions).prop_map(|(ty, subject, extensions)| {
        let mut event = Event::new("1", "s", ty);
        event.subject = subject.map(Into::into);
        let (text, number, flag) = extensions;
        let values = [
            ("text", text.map(annal_event::Value::from)),
            ("number", number.map(annal_event::Value::from)),
            ("flag", flag.map(annal_event::Value::from)),
        ];
        for (name, value) in values {
            if let Some(value) = value {
                event.set_extension(name.into(), value);
            }
        }
        event
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn programs_come_to_what_the_tree_comes_to(tree in tree(), event in event()) {
        let text = tree.written();
        let expression = Expression::compile(&text).expect("an expression");
        let mut record = Vec::new();
        proto::encode_record(&event, &mut record);
        let record = proto::Record(&record);
        let of_event = expression.evaluate(&event).expect("an event");
        let of_record = expression.evaluate(&record).expect("a record");
        prop_assert_eq!(&of_event, &of_record);
        let found = match &of_event.failure {
            None => Ok(Model::of(of_event.value)),
            Some(failure) => Err(kind(failure)),
        };
        prop_assert_eq!(found, tree.value(&event), "{}", text);
    }

    #[test]
    fn patterns_match_what_trying_everything_matches(
        text in "[ab%_é]{0,12}", pattern in "[ab%_é]{0,8}",
    ) {
        let event = Event::new("1", "s", "t").with_subject(text.clone());
        let expression = format!("subject LIKE '{pattern}'");
        let expression = Expression::compile(&expression).expect("an expression");
        let found = expression.evaluate(&event).expect("an event").value;
        let (text, pattern): (Vec<_>, Vec<_>) = (text.chars().collect(), pattern.chars().collect());
        prop_assert_eq!(found, Value::Boolean(like(&text, &pattern)));
    }
}
