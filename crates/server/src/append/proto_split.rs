//! Cuts a `CloudEventBatch` into its events while it is still coming in.
//!
//! A batch is nothing but field 1 again and again, each time with a length (protobuf encoding,
//! "Length-Delimited Records"), so no more than one event is ever held.

use crate::problem::{Code, Problem};

/// Field 1, length-delimited.
const EVENT_TAG: u8 = 0x0a;

/// A varint of a length takes at most five bytes here.
const LENGTH_BYTES_MAX: usize = 5;

pub(super) struct BatchSplitter {
    /// The beginning of an event that is not all there.
    partial: Vec<u8>,
    item_bytes_max: usize,
}

impl BatchSplitter {
    pub(super) fn new(item_bytes_max: usize) -> BatchSplitter {
        BatchSplitter { partial: Vec::new(), item_bytes_max }
    }

    /// Takes the next bytes and gives every event that is complete to `each`.
    pub(super) fn feed(
        &mut self,
        chunk: &[u8],
        mut each: impl FnMut(&[u8]) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        if self.partial.is_empty() {
            let used = self.items(chunk, &mut each)?;
            self.partial.extend_from_slice(&chunk[used..]);
            return Ok(());
        }
        let mut held = std::mem::take(&mut self.partial);
        held.extend_from_slice(chunk);
        let used = self.items(&held, &mut each)?;
        held.drain(..used);
        self.partial = held;
        Ok(())
    }

    /// Says whether the batch was whole.
    pub(super) fn finish(&self) -> Result<(), Problem> {
        if self.partial.is_empty() { Ok(()) } else { Err(malformed("it ends within an event")) }
    }

    fn items(
        &self,
        bytes: &[u8],
        each: &mut impl FnMut(&[u8]) -> Result<(), Problem>,
    ) -> Result<usize, Problem> {
        let mut used = 0;
        while let Some((start, end)) = bounds(&bytes[used..], self.item_bytes_max)? {
            let Some(item) = bytes.get(used + start..used + end) else { break };
            each(item)?;
            used += end;
        }
        Ok(used)
    }

    /// Looks ahead from here, where `items` events are complete.
    pub(super) fn ahead(&self, items: usize) -> Result<ProtoAhead, Problem> {
        let item_bytes_max = self.item_bytes_max;
        let mut ahead = ProtoAhead { item_bytes_max, head: Vec::new(), missing: 0, items };
        ahead.feed(&self.partial)?;
        Ok(ahead)
    }
}

/// Counts events and keeps none.
pub(super) struct ProtoAhead {
    item_bytes_max: usize,
    /// Tag and length of an event, as far as they are there.
    head: Vec<u8>,
    /// Bytes of the present event that have not come yet.
    missing: usize,
    items: usize,
}

impl ProtoAhead {
    /// Takes the next bytes; refuses an event that is too large.
    pub(super) fn feed(&mut self, chunk: &[u8]) -> Result<(), Problem> {
        let mut rest = chunk;
        loop {
            let passed = self.missing.min(rest.len());
            self.missing -= passed;
            let Some((byte, after)) = rest[passed..].split_first() else { return Ok(()) };
            rest = after;
            self.head.push(*byte);
            if let Some((start, end)) = bounds(&self.head, self.item_bytes_max)? {
                self.head.clear();
                self.missing = end - start;
                self.items += 1;
            }
        }
    }

    /// Events that have begun.
    pub(super) fn items(&self) -> usize {
        self.items
    }
}

/// Where the first event begins and ends, once its length is there.
fn bounds(bytes: &[u8], item_bytes_max: usize) -> Result<Option<(usize, usize)>, Problem> {
    let Some((tag, rest)) = bytes.split_first() else { return Ok(None) };
    if *tag != EVENT_TAG {
        return Err(malformed("a batch holds field 1 and nothing else"));
    }
    let mut length = 0usize;
    for (place, byte) in rest.iter().take(LENGTH_BYTES_MAX).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return within(length, item_bytes_max).map(|()| Some((place + 2, place + 2 + length)));
        }
    }
    if rest.len() < LENGTH_BYTES_MAX { Ok(None) } else { Err(malformed("a length is wrong")) }
}

fn within(length: usize, item_bytes_max: usize) -> Result<(), Problem> {
    if length <= item_bytes_max {
        return Ok(());
    }
    let detail = format!("an event of {length} bytes is larger than one may be");
    Err(Problem::new(Code::EventTooLarge, detail))
}

fn malformed(detail: &str) -> Problem {
    Problem::new(Code::MalformedBody, format!("not a protobuf CloudEventBatch: {detail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(batch: &[u8], step: usize) -> Result<Vec<Vec<u8>>, Problem> {
        let mut items = Vec::new();
        let mut splitter = BatchSplitter::new(1_000);
        for chunk in batch.chunks(step) {
            splitter.feed(chunk, |item| {
                items.push(item.to_vec());
                Ok(())
            })?;
        }
        splitter.finish()?;
        Ok(items)
    }

    #[test]
    fn any_cut_gives_the_same_items() {
        let long = vec![7; 300];
        let mut batch = vec![0x0a, 2, 1, 2, 0x0a, 0, 0x0a, 0xac, 0x02];
        batch.extend_from_slice(&long);
        let expected = vec![vec![1, 2], vec![], long];
        for step in [1, 2, 3, 7, 299, 1_000] {
            assert_eq!(split(&batch, step).expect("a batch"), expected, "cut every {step}");
        }
    }

    #[test]
    fn looking_ahead_counts_from_anywhere() {
        let mut batch = vec![0x0a, 2, 1, 2, 0x0a, 0, 0x0a, 0xac, 0x02];
        batch.extend_from_slice(&[7; 300]);
        batch.extend_from_slice(&[0x0a, 1, 9]);
        for cut in 0..batch.len() {
            let (mut splitter, mut complete) = (BatchSplitter::new(300), 0);
            let counted = splitter.feed(&batch[..cut], |_| {
                complete += 1;
                Ok(())
            });
            counted.expect("a batch");
            let mut ahead = splitter.ahead(complete).expect("a batch");
            batch[cut..].chunks(5).for_each(|chunk| ahead.feed(chunk).expect("a batch"));
            assert_eq!(ahead.items(), 4, "cut at {cut}");
        }
        let mut ahead = BatchSplitter::new(299).ahead(0).expect("nothing yet");
        assert_eq!(ahead.feed(&batch).expect_err("refused").code(), Code::EventTooLarge);
    }

    #[test]
    fn damage_is_refused() {
        let code = |batch: &[u8]| split(batch, 3).expect_err("refused").code();
        assert_eq!(code(&[0x0a, 5, 1]), Code::MalformedBody);
        assert_eq!(code(&[0x12, 0]), Code::MalformedBody);
        assert_eq!(code(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]), Code::MalformedBody);
        assert_eq!(code(&[0x0a, 0xe9, 0x07]), Code::EventTooLarge);
    }
}
