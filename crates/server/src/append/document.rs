//! A document that can only be read when all of it is there.

use bytes::{Bytes, BytesMut};
use tokio::{sync::SemaphorePermit, task::block_in_place};

use crate::{
    intake::Intake,
    problem::{Code, Problem},
    shared::{Held, Shared},
    spool::Spool,
};

/// The whole text, and what it takes up while somebody works on it.
pub(super) struct Document<'s> {
    pub(super) text: Bytes,
    pub(super) place: Place<'s>,
}

/// A share in the memory for bodies that come in, or one of the turns to read one from its file.
pub(super) struct Place<'s> {
    _held: Held<'s>,
    _turn: Option<SemaphorePermit<'s>>,
}

/// Takes in a document, of which `prefix` has been taken in already: what may not be held in memory
/// while the rest comes waits in a file.
pub(super) async fn read<'s>(
    shared: &'s Shared,
    prefix: Bytes,
    intake: &mut Intake,
) -> Result<Document<'s>, Problem> {
    let (code, mut held) = (Code::RequestTooLarge, shared.held());
    let mut next = intake.next_checked(code).await?;
    if next.is_none() {
        let place = Place { _held: held, _turn: None };
        return Ok(Document { text: prefix, place });
    }
    let mut text = BytesMut::from(prefix);
    let _ = held.add(text.len());
    while let Some(chunk) = next {
        if !held.add(chunk.len()) {
            let spool = spool(shared, &chunk, intake).await?;
            let turn = shared.spooled_turn().await?;
            let text = block_in_place(|| unite(&text, spool))?;
            return Ok(Document { text, place: Place { _held: held, _turn: Some(turn) } });
        }
        text.extend_from_slice(&chunk);
        next = intake.next_checked(code).await?;
    }
    Ok(Document { text: text.freeze(), place: Place { _held: held, _turn: None } })
}

async fn spool(shared: &Shared, first: &[u8], intake: &mut Intake) -> Result<Spool, Problem> {
    let mut spool = Spool::new(&shared.options.spool_dir);
    spool.push(first).await?;
    while let Some(chunk) = intake.next_checked(Code::RequestTooLarge).await? {
        spool.push(&chunk).await?;
    }
    Ok(spool)
}

fn unite(beginning: &[u8], spool: Spool) -> Result<Bytes, Problem> {
    let mut whole = Vec::with_capacity(beginning.len() + spool.len());
    whole.extend_from_slice(beginning);
    let mut pieces = spool.into_pieces()?;
    while let Some(piece) = pieces.next()? {
        whole.extend_from_slice(piece);
    }
    Ok(whole.into())
}
