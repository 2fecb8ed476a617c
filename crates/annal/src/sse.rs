//! Reads a stream of server-sent events (WHATWG HTML §9.2.6), as far as Annal's own streams go.
//!
//! Lines end in `\n` or `\r\n`. Memory is bounded: a message longer than [`MESSAGE_BYTES_MAX`] is an
//! error.

/// Far above the largest event; a snapshot of many may be larger than one.
const MESSAGE_BYTES_MAX: usize = 512 * 1024 * 1024;

/// One message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// Its name; empty is `message`.
    pub(crate) event: String,
    /// Its lines, joined.
    pub(crate) data: String,
    /// The last id that the stream gave, with this message or before it.
    pub(crate) id: Option<String>,
}

/// A message that grew past all bounds.
#[derive(Debug, thiserror::Error)]
#[error("a message of the stream is longer than {MESSAGE_BYTES_MAX} bytes")]
pub(crate) struct TooLong;

/// Puts messages together from the pieces they come in.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    line: Vec<u8>,
    message: Message,
    has_data: bool,
    last_id: Option<String>,
}

impl Messages {
    /// Takes the next piece and gives each whole message to `each`.
    pub(crate) fn feed<E: From<TooLong>>(
        &mut self,
        piece: &[u8],
        mut each: impl FnMut(Message) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = piece;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.line.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            let line = std::mem::take(&mut self.line);
            if let Some(message) = self.take(&line) {
                each(message)?;
            }
        }
        self.line.extend_from_slice(rest);
        if self.line.len() + self.message.data.len() > MESSAGE_BYTES_MAX {
            return Err(TooLong.into());
        }
        Ok(())
    }

    fn take(&mut self, line: &[u8]) -> Option<Message> {
        let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line));
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.message.event = value.to_owned(),
            "id" if !value.contains('\0') => self.last_id = Some(value.to_owned()),
            "data" => {
                if self.has_data {
                    self.message.data.push('\n');
                }
                self.message.data.push_str(value);
                self.has_data = true;
            }
            // Comments (heartbeats), `retry`, and what a later version may add.
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<Message> {
        let mut message = std::mem::take(&mut self.message);
        message.id = self.last_id.clone();
        std::mem::take(&mut self.has_data).then_some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::{Message, Messages, TooLong};

    fn read(pieces: &[&str]) -> Vec<Message> {
        let (mut messages, mut found) = (Messages::default(), Vec::new());
        for piece in pieces {
            let each = |message| -> Result<(), TooLong> {
                found.push(message);
                Ok(())
            };
            messages.feed(piece.as_bytes(), each).unwrap();
        }
        found
    }

    fn message(event: &str, data: &str, id: Option<&str>) -> Message {
        Message { event: event.to_owned(), data: data.to_owned(), id: id.map(str::to_owned) }
    }

    #[test]
    fn messages_come_whole_however_they_are_cut() {
        let text = "retry: 3000\nevent: delta\nid: 42\ndata: {\"a\":1}\n\n:hb\ndata: x\ndata:y\n\n";
        let expected = [message("delta", "{\"a\":1}", Some("42")), message("", "x\ny", Some("42"))];
        assert_eq!(read(&[text]), expected);
        for cut in 0..text.len() {
            assert_eq!(read(&[&text[..cut], &text[cut..]]), expected, "cut at {cut}");
        }
    }

    #[test]
    fn a_message_without_data_moves_only_the_cursor() {
        assert_eq!(read(&["id: 7\n\ndata: a\n\n"]), [message("", "a", Some("7"))]);
    }

    #[test]
    fn what_is_not_finished_is_not_a_message() {
        assert_eq!(read(&["id: 7\ndata: a\n"]), []);
    }
}
