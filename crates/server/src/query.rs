//! `GET /query`: full text and fields over resources and events (API.md §5).
//!
//! A query sees every append that was acknowledged before it: it waits, a bounded time, until search
//! has come to the head as it was when the query began.

mod answer;
mod asked;

use std::{sync::Arc, time::Duration};

use annal_engine::{AskError, Engine, QueryError, SearchStatus, Searcher, View};
use annal_event::Position;
use http::{HeaderValue, Response, StatusCode, header, request::Parts};
use tokio::time::timeout;

use crate::{
    negotiate,
    params::{Params, invalid},
    problem::{Code, Problem},
    read::{export, link::Link, off_the_reactor, wait_for_position},
    reply::{self, Reply},
    shared::Shared,
};
use asked::Asked;

/// How long a client is told to wait while the index is built.
const REBUILDING_RETRY_S: u32 = 5;

/// `GET /query`
pub(crate) async fn query(
    shared: &Arc<Shared>,
    engine: &Engine,
    head: &Parts,
) -> Result<Response<Reply>, Problem> {
    let mut params = Params::parse(head.uri.query())?;
    wait_for_position(engine, &mut params, shared.options.position_wait_max).await?;
    let asked = Asked::of(&mut params)?;
    params.finish()?;
    let searcher = searcher_for(engine, &asked)?.clone();
    until_found(&searcher, engine.head(), shared).await?;
    // As long as a query may wait for the index it may wait for its turn.
    let turn = shared.search_turn().await?;
    let (view, encoding) = (Arc::clone(engine.view()), negotiate::encoding(&head.headers));
    let stopping = shared.is_stopping();
    let found = off_the_reactor(move || {
        let _turn = turn;
        let answer = answered(&view, &searcher, &asked, stopping)?;
        Ok::<_, Problem>((export::compressed(answer.body, encoding), answer.next))
    });
    let ((body, encoding), next) = found.await??;
    let mut response = reply::json(StatusCode::OK, body);
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if let Some(name) = export::encoding_name(encoding) {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
    }
    if let Some(offset) = next
        && let Ok(next) = HeaderValue::from_str(&Link::of(head).next("offset", &offset.to_string()))
    {
        headers.insert(header::LINK, next);
    }
    Ok(response)
}

/// Answers a query of an engine that has no server: `parameters` are those of the route, percent-encoded.
/// What is found is what search has come to ([`Searcher::wait`]).
pub fn answer_query(engine: &Engine, parameters: &str) -> Result<Vec<u8>, QueryRefused> {
    answer_now(engine, parameters).map_err(|problem| QueryRefused {
        detail: problem.detail().to_owned(),
        code: problem.code(),
    })
}

fn answer_now(engine: &Engine, parameters: &str) -> Result<Vec<u8>, Problem> {
    let mut params = Params::parse(Some(parameters))?;
    let asked = Asked::of(&mut params)?;
    params.finish()?;
    let searcher = searcher_for(engine, &asked)?;
    Ok(answered(engine.view(), searcher, &asked, false)?.body)
}

/// Why a query has no answer, in the words of the server.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{detail} ({})", .code.text())]
pub struct QueryRefused {
    /// What to do about it.
    pub detail: String,
    /// What kind of refusal it is.
    pub code: Code,
}

fn searcher_for<'e>(engine: &'e Engine, asked: &Asked) -> Result<&'e Searcher, Problem> {
    let searcher = engine.search().ok_or_else(switched_off)?;
    if asked.wants_events() && !searcher.has_events() {
        return Err(without_events());
    }
    Ok(searcher)
}

fn answered(
    view: &View,
    searcher: &Searcher,
    asked: &Asked,
    stopping: bool,
) -> Result<answer::Answer, Problem> {
    answer::answer(view, searcher, asked).map_err(|failure| match failure {
        answer::Failure::Ask(error) => refused(&error, stopping),
        answer::Failure::Read(error) => crate::read::failed(&error),
    })
}

/// Waits until everything up to the head can be found.
async fn until_found(searcher: &Searcher, head: Position, shared: &Shared) -> Result<(), Problem> {
    let at_most = shared.options.search_wait_max;
    if let Some(estimate) = searcher.hopeless(head, at_most) {
        return Err(hopeless(searcher.status(), head, estimate, at_most));
    }
    match timeout(at_most, searcher.wait(head)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(refused(&error, shared.is_stopping())),
        Err(_) => Err(lag(searcher.status(), head, searcher.estimate(head), at_most)),
    }
}

/// Search did not come there in time.
fn lag(
    status: SearchStatus,
    wanted: Position,
    estimate: Option<Duration>,
    waited: Duration,
) -> Problem {
    let detail = format!("did not catch up in {} ms; ask again", waited.as_millis());
    behind(status, wanted, estimate.unwrap_or_default(), &detail)
}

/// Search would clearly not come there in time.
fn hopeless(
    status: SearchStatus,
    wanted: Position,
    estimate: Duration,
    allowed: Duration,
) -> Problem {
    let detail = format!(
        "needs about {} s for them, more than the {} ms that a query may wait; ask again later",
        whole_seconds(estimate),
        allowed.as_millis()
    );
    behind(status, wanted, estimate, &detail)
}

fn behind(status: SearchStatus, wanted: Position, estimate: Duration, detail: &str) -> Problem {
    let behind = wanted.get().saturating_sub(status.folded.get());
    let detail = format!("search is {behind} positions behind and {detail}");
    let retry = whole_seconds(estimate.min(Searcher::REFUSED_MAX)).max(1);
    let problem = far(Problem::new(Code::SearchLag, detail), status);
    problem.with_number("lag", behind).retry_after(retry as u32)
}

fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

fn far(problem: Problem, status: SearchStatus) -> Problem {
    let (folded, head) = (status.folded.to_string(), status.head.to_string());
    problem.with_text("folded", &folded).with_text("head", &head)
}

fn switched_off() -> Problem {
    let detail = "search is switched off here; start the server with --search all";
    Problem::new(Code::SearchNotAvailable, detail)
}

fn without_events() -> Problem {
    let detail = "only resources are searched here; ask with in=resources, or start the server with \
                  --search all";
    Problem::new(Code::SearchNotAvailable, detail).with_text("parameter", "in")
}

fn refused(error: &AskError, stopping: bool) -> Problem {
    match error {
        AskError::Rebuilding(status) => {
            let detail = format!(
                "the search index is being built: {} of {} positions; everything else is served, \
                 /health/ready says how far it is",
                status.folded, status.head
            );
            far(Problem::new(Code::Rebuilding, detail), *status).retry_after(REBUILDING_RETRY_S)
        }
        AskError::Ended if stopping => {
            Problem::new(Code::Stopping, "the server stops; ask again").retry_after(1)
        }
        AskError::Ended => {
            Problem::new(Code::Internal, "search has ended; the server's log says why")
        }
        AskError::Query(error) => unanswerable(error),
    }
}

fn unanswerable(error: &QueryError) -> Problem {
    match error {
        QueryError::Text { position, message } => {
            let detail = format!("{message} (at character {position} of `q`)");
            Problem::new(Code::InvalidQuery, detail)
                .with_text("parameter", "q")
                .with_number("position", *position as u64)
        }
        QueryError::TooDeep { .. } => invalid("offset", error),
        QueryError::TooManyFacets { .. } | QueryError::TooManyNumbers { .. } => {
            invalid("facets", error)
        }
        QueryError::TooManyBuckets { .. } => invalid("histogram", error),
        QueryError::Read { .. } => {
            let detail = "the search index cannot be read; it is checked and built anew if it is \
                          damaged";
            Problem::new(Code::Damaged, detail)
        }
    }
}

#[cfg(test)]
mod tests {
    use annal_engine::SearchState;

    use super::*;

    #[test]
    fn who_is_refused_is_told_when_to_ask_again() {
        let status = SearchStatus {
            state: SearchState::Following,
            folded: Position(100),
            head: Position(90_000),
        };
        let allowed = Duration::from_secs(5);
        let told = |problem: Problem| {
            let retry = problem.headers().iter().find(|(name, _)| name == header::RETRY_AFTER);
            let retry = retry.and_then(|(_, value)| value.to_str().ok()?.parse().ok());
            (retry, problem.detail().to_owned())
        };
        let refused =
            |ms| told(hopeless(status, Position(80_100), Duration::from_millis(ms), allowed));
        let (retry, detail) = refused(16_200);
        assert_eq!(retry, Some(17));
        assert_eq!(
            detail,
            "search is 80000 positions behind and needs about 17 s for them, more than the 5000 ms \
             that a query may wait; ask again later"
        );
        assert_eq!(refused(3_600_000).0, Some(30), "it is bounded");
        let waited = |estimate| told(lag(status, Position(80_100), estimate, allowed)).0;
        assert_eq!(waited(None), Some(1));
        assert_eq!(waited(Some(Duration::from_millis(4_001))), Some(5));
    }
}
