//! What was measured, each beside its baseline.

use std::time::Duration;

/// A measured value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Figure {
    /// Things a second: more is better.
    Rate(f64),
    /// Time of one thing: less is better.
    Time(Duration),
    /// A part of a whole: less is better.
    Share(f64),
    /// Room taken: less is better.
    Bytes(u64),
}

impl Figure {
    fn show(self) -> String {
        match self {
            Figure::Rate(rate) if rate >= 1e6 => format!("{:.2} M/s", rate / 1e6),
            Figure::Rate(rate) => format!("{:.0} k/s", rate / 1e3),
            Figure::Time(time) if time.as_millis() >= 10 => format!("{} ms", time.as_millis()),
            Figure::Time(time) => format!("{:.0} µs", time.as_secs_f64() * 1e6),
            Figure::Share(share) => format!("{share:.2} ×"),
            Figure::Bytes(bytes) if bytes < 1 << 20 => format!("{:.1} KiB", bytes as f64 / 1024.0),
            Figure::Bytes(bytes) => format!("{} MiB", bytes >> 20),
        }
    }

    /// Ours over the baseline: a rate as a share, a time as what is added.
    fn against(self, baseline: Figure) -> String {
        match (self, baseline) {
            (Figure::Rate(ours), Figure::Rate(other)) => format!("{:.0} %", ours / other * 100.0),
            (Figure::Time(ours), Figure::Time(other)) => {
                format!("{:+.0} µs", (ours.as_secs_f64() - other.as_secs_f64()) * 1e6)
            }
            _ => String::new(),
        }
    }
}

/// Things a second.
pub(super) fn rate(things: usize, took: Duration) -> Figure {
    Figure::Rate(things as f64 / took.as_secs_f64().max(1e-9))
}

/// Rows as they are measured; each is said at once, the table at the end.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<[String; 4]>,
}

impl Table {
    /// One measurement with its baseline, and what that baseline is.
    pub(super) fn row(&mut self, what: &str, ours: Figure, baseline: Option<(Figure, &str)>) {
        let row = match baseline {
            Some((figure, name)) => [
                what.to_owned(),
                ours.show(),
                format!("{} {name}", figure.show()),
                ours.against(figure),
            ],
            None => [what.to_owned(), ours.show(), String::new(), String::new()],
        };
        eprintln!("{}", row.join("  "));
        self.rows.push(row);
    }

    pub(super) fn print(&self) {
        println!("| what | ours | baseline of the same run | ratio |");
        println!("|---|---|---|---|");
        for row in &self.rows {
            println!("| {} |", row.join(" | "));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Figure, rate};

    #[test]
    fn figures_are_set_against_their_baseline() {
        let half = rate(500, Duration::from_millis(10));
        assert_eq!(half.show(), "50 k/s");
        assert_eq!(half.against(Figure::Rate(100_000.0)), "50 %");
        let slow = Figure::Time(Duration::from_micros(200));
        assert_eq!(slow.against(Figure::Time(Duration::from_micros(63))), "+137 µs");
    }
}
