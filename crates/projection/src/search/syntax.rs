//! What a query's text says, as a tree.
//!
//! The language is tantivy's; the tree is built here because every part of it must know where it
//! stands in the text, and because nesting must be bounded before anything recurses.

use std::ops::Bound;

pub(super) use tantivy::query::Occur;

/// A part of a query.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expr {
    /// Every document.
    All,
    Leaf(Leaf),
    /// With the meaning of Lucene and tantivy: all that must, none that must not, and at least one
    /// that should unless something must.
    Bool(Vec<(Occur, Expr)>),
    Boost(Box<Expr>, f32),
}

/// One thing to look for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Leaf {
    /// As written, escapes undone; `None`: anywhere.
    pub(super) field: Option<String>,
    pub(super) what: What,
    /// Where it stands, in characters.
    pub(super) position: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    Words(Words),
    /// Any of these.
    Set(Vec<Words>),
    Range(Bound<Words>, Bound<Words>),
    /// The field is there at all.
    Exists,
}

/// A word or a phrase as written, escapes undone.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Words {
    pub(super) text: String,
    pub(super) quoted: bool,
    /// `log*`, `"use after fr"*`
    pub(super) prefix: bool,
    /// `"a b"~2`: how many words may stand between.
    pub(super) slop: u32,
}

impl Words {
    pub(super) fn plain(text: impl Into<String>) -> Words {
        Words { text: text.into(), quoted: false, prefix: false, slop: 0 }
    }
}

/// How words that stand side by side are joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Operator {
    /// Any of them; more is better.
    #[default]
    Or,
    /// All of them, as if `AND` stood between.
    And,
}

/// What stood before an element of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joint {
    Or,
    And,
    /// Nothing but space.
    Space,
}

/// An element of a list: how it is joined to the one before, its sign, and itself.
pub(super) type Element = (Joint, Option<Occur>, Expr);

/// Puts a list together: `AND` binds tighter than `OR`, `+` and `-` say it outright.
pub(super) fn join(elements: Vec<Element>) -> Expr {
    let joints: Vec<Joint> = elements.iter().map(|(joint, ..)| *joint).collect();
    let mut runs: Vec<Vec<(Occur, Expr)>> = Vec::new();
    for (index, (joint, sign, expr)) in elements.into_iter().enumerate() {
        let next = joints.get(index + 1).copied();
        let in_run = joint == Joint::And || next == Some(Joint::And);
        if in_run {
            let member = (sign.unwrap_or(Occur::Must), expr);
            match runs.last_mut() {
                Some(run) if joint == Joint::And => run.push(member),
                _ => runs.push(vec![member]),
            }
            continue;
        }
        let or = joint == Joint::Or || next == Some(Joint::Or);
        runs.push(vec![match sign {
            // `a OR -b` is a, or anything without b; `a -b` is a, without b.
            Some(Occur::MustNot) if or => (Occur::Should, not(expr)),
            // `a NOT b` is `a -b`.
            None if !or => bare(expr),
            sign => (sign.unwrap_or(Occur::Should), expr),
        }]);
    }
    if runs.len() == 1 {
        return runs.pop().map_or(Expr::All, group);
    }
    let member = |mut run: Vec<(Occur, Expr)>| match run.len() {
        1 => run.pop(),
        _ => Some((Occur::Should, Expr::Bool(run))),
    };
    Expr::Bool(runs.into_iter().filter_map(member).collect())
}

fn bare(expr: Expr) -> (Occur, Expr) {
    match expr {
        Expr::Bool(mut members) if matches!(members.as_slice(), [(Occur::MustNot, _)]) => {
            members.pop().unwrap_or((Occur::Should, Expr::All))
        }
        expr => (Occur::Should, expr),
    }
}

fn group(mut run: Vec<(Occur, Expr)>) -> Expr {
    match run.as_slice() {
        [(Occur::Must | Occur::Should, _)] => run.pop().map_or(Expr::All, |(_, expr)| expr),
        _ => Expr::Bool(run),
    }
}

pub(super) fn not(expr: Expr) -> Expr {
    Expr::Bool(vec![(Occur::MustNot, expr)])
}
