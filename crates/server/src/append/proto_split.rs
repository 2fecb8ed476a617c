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
        while let Some((start, end)) = self.bounds(&bytes[used..])? {
            let Some(item) = bytes.get(used + start..used + end) else { break };
            each(item)?;
            used += end;
        }
        Ok(used)
    }

    /// Where the first event begins and ends, once its length is there.
    fn bounds(&self, bytes: &[u8]) -> Result<Option<(usize, usize)>, Problem> {
        let Some((tag, rest)) = bytes.split_first() else { return Ok(None) };
        if *tag != EVENT_TAG {
            return Err(malformed("a batch holds field 1 and nothing else"));
        }
        let mut length = 0usize;
        for (place, byte) in rest.iter().take(LENGTH_BYTES_MAX).enumerate() {
            length |= usize::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return self.within(length).map(|()| Some((place + 2, place + 2 + length)));
            }
        }
        if rest.len() < LENGTH_BYTES_MAX { Ok(None) } else { Err(malformed("a length is wrong")) }
    }

    fn within(&self, length: usize) -> Result<(), Problem> {
        if length <= self.item_bytes_max {
            return Ok(());
        }
        let detail = format!("an event of {length} bytes is larger than one may be");
        Err(Problem::new(Code::EventTooLarge, detail))
    }
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
    fn damage_is_refused() {
        let code = |batch: &[u8]| split(batch, 3).expect_err("refused").code();
        assert_eq!(code(&[0x0a, 5, 1]), Code::MalformedBody);
        assert_eq!(code(&[0x12, 0]), Code::MalformedBody);
        assert_eq!(code(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]), Code::MalformedBody);
        assert_eq!(code(&[0x0a, 0xe9, 0x07]), Code::EventTooLarge);
    }
}
