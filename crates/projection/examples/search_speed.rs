//! What search costs: documents a second, commits, bytes, and how long answers take.
//!
//! `cargo run --release -p annal-projection --example search_speed -- [documents] [shape…]`, shapes
//! `advisories` (resources of about 900 bytes) and `events` (of about 350). Texts are made of 50,000
//! words whose frequencies follow Zipf's law. Every line is one measurement.

use std::{
    error::Error,
    fmt::Write,
    time::{Duration, Instant},
};

use annal_event::{Position, Timestamp};
use annal_projection::search::{
    Change, Document, Interval, Key, Scope, Search, SearchOptions, SearchQuery, Sort,
};

const WORDS: u64 = 50_000;
const BATCH: u64 = 1_000;
/// Commits while the index is filled, as they would come with queries now and then.
const COMMIT_EVERY: u64 = 50_000;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let documents = arguments.first().map_or(Ok(200_000), |text| text.parse::<u64>())?;
    let shapes: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    let shapes = if shapes.is_empty() { vec!["advisories", "events"] } else { shapes };
    for shape in shapes {
        println!("== {shape}: {documents} documents");
        measure(shape, documents)?;
    }
    Ok(())
}

/// A small generator of numbers (splitmix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// The rank of a word: the n-th is 1/n as frequent as the first.
    fn rank(&mut self) -> u64 {
        ((WORDS as f64).powf(self.unit()) as u64).min(WORDS) - 1
    }
}

/// Made of syllables; frequent words are short.
fn word(rank: u64) -> String {
    const SYLLABLES: [&str; 20] = [
        "ra", "to", "mi", "ke", "su", "no", "la", "vi", "po", "de", "ba", "ti", "gu", "se", "fo",
        "wa", "ne", "lo", "cha", "re",
    ];
    let mut word = String::new();
    let mut rest = rank + 20;
    while rest > 0 {
        word.push_str(SYLLABLES[(rest % 20) as usize]);
        rest /= 20;
    }
    word
}

fn sentence(dice: &mut Dice, words: u64) -> String {
    let mut text = String::new();
    for n in 0..words {
        if n > 0 {
            text.push_str(if dice.below(12) == 0 { ", " } else { " " });
        }
        text.push_str(&word(dice.rank()));
    }
    text
}

struct Made {
    subject: String,
    ty: &'static str,
    source: String,
    content: String,
}

fn advisory(dice: &mut Dice, n: u64) -> Made {
    let package = word(20 + dice.below(20_000));
    let date = format!("20{:02}-{:02}-{:02}", 10 + n % 16, 1 + n % 12, 1 + n % 28);
    let categories = ["memory-corruption", "denial-of-service", "crypto-failure", "code-execution"];
    let (length, more) = (6 + dice.below(5), 60 + dice.below(50));
    let title = sentence(dice, length);
    let content = format!(
        r#"{{"title":"{title}","package":"{package}","date":"{date}","url":"https://example.com/{}/{package}/issues/{}","categories":["{}"],"score":{}.{},"withdrawn":{},"versions":{{"patched":[">= {}.{}.{}"]}},"author":{{"name":"{} {}"}},"description":"{}"}}"#,
        word(dice.below(5_000)),
        dice.below(10_000),
        categories[dice.below(4) as usize],
        dice.below(10),
        dice.below(10),
        dice.below(20) == 0,
        dice.below(9),
        dice.below(30),
        dice.below(20),
        word(dice.below(500)),
        word(dice.below(5_000)),
        sentence(dice, more),
    );
    let subject = format!("advisory/ADV-{}-{n:07}", 2010 + n % 16);
    Made { subject, ty: "advisory", source: "https://example.com/advisories".into(), content }
}

fn event(dice: &mut Dice, _: u64) -> Made {
    let length = 8 + dice.below(8);
    let content = format!(
        r#"{{"message":"{}","branch":"{}","files":{},"insertions":{},"deletions":{}}}"#,
        sentence(dice, length),
        if dice.below(4) > 0 { "main" } else { "release" },
        dice.below(30),
        dice.below(2_000),
        dice.below(2_000),
    );
    let owner = dice.below(50);
    let subject = format!("{}/{}/{}", word(owner), word(owner + 70), word(dice.below(200)));
    let source = format!("https://example.com/{}", word(owner));
    Made { subject, ty: "git.commit", source, content }
}

/// What an event around this content would take in JSON.
fn raw_bytes(made: &Made) -> usize {
    let envelope = r#"{"specversion":"1.0","id":"6c33e7b1-607e-ee12-533e-7e9aa952cdf7","source":"","type":"","subject":"","time":"2012-10-29T09:12:25Z","datacontenttype":"application/json","data":}"#;
    envelope.len() + made.subject.len() + made.ty.len() + made.source.len() + made.content.len()
}

fn document(made: &Made, n: u64, resources: bool) -> Document<'_> {
    Document {
        key: if resources {
            Key::Resource(made.subject.as_str().into())
        } else {
            Key::Event(Position(n + 1))
        },
        doc_type: made.ty,
        subject: Some(&made.subject),
        source: Some(&made.source),
        position: Position(n + 1),
        time: Timestamp(1_400_000_000_000_000 + n as i64 * 300_000_000),
        content: &made.content,
    }
}

fn measure(shape: &str, documents: u64) -> Outcome<()> {
    let resources = shape == "advisories";
    let make = if resources { advisory } else { event };
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("search_index");
    let search = Search::open(&path, SearchOptions::default())?;
    let mut dice = Dice(1);
    let (mut spent, mut raw, mut n) = (Duration::ZERO, 0, 0);
    let mut making = processor_time();
    while n < documents {
        // Indexing goes on beside, so this is wall time.
        let start = Instant::now();
        let made: Vec<Made> = (n..(n + BATCH).min(documents)).map(|n| make(&mut dice, n)).collect();
        raw += made.iter().map(raw_bytes).sum::<usize>();
        let changes: Vec<Change<'_>> =
            (n..).zip(&made).map(|(n, made)| Change::Put(document(made, n, resources))).collect();
        making += start.elapsed();
        let start = Instant::now();
        n += made.len() as u64;
        search.apply(changes, Position(n))?;
        if n.is_multiple_of(COMMIT_EVERY) || n == documents {
            search.commit()?;
        }
        spent += start.elapsed();
    }
    println!(
        "index and commit: {:.0} documents/s of {} bytes ({:.0} a second of processor time), {} segments, resident {} MiB",
        n as f64 / spent.as_secs_f64(),
        raw as u64 / documents,
        n as f64 / (processor_time() - making).as_secs_f64(),
        search.stats().segments,
        resident_mib(),
    );
    search.settle()?;
    let start = Instant::now();
    let search = Search::open(&path, SearchOptions::default())?;
    let opened = start.elapsed();
    let stats = search.stats();
    println!(
        "size {:.1} % of {} MiB raw, {} segments; open in {opened:.1?}",
        stats.bytes as f64 * 100.0 / raw as f64,
        raw / 1024 / 1024,
        stats.segments
    );
    queries(&search, resources)?;
    commits(&search, documents, make, resources)
}

fn queries(search: &Search, resources: bool) -> Outcome<()> {
    let scope = if resources { Scope::Resources } else { Scope::Events };
    let field = if resources { "title" } else { "message" };
    let mut dice = Dice(7);
    let frequent = |dice: &mut Dice| word(dice.below(1_000));
    let mut run = |name: &str, make: &mut dyn FnMut(&mut Dice) -> String| -> Outcome<()> {
        let mut times = Vec::new();
        let mut count = 0;
        for _ in 0..400 {
            let text = make(&mut dice);
            let query = SearchQuery { scope, ..SearchQuery::new(&text) };
            let start = Instant::now();
            count += search.query(&query)?.count;
            times.push(start.elapsed());
        }
        println!("{name}: {}, {} hits in the mean", percentiles(&mut times), count / 400);
        Ok(())
    };
    run("term", &mut |dice| word(dice.rank()))?;
    run("AND of two", &mut |dice| format!("{} AND {}", word(dice.rank()), word(dice.rank())))?;
    run("OR of three", &mut |dice| sentence(dice, 3).replace(',', ""))?;
    run("phrase", &mut |dice| format!("\"{} {}\"", word(dice.rank()), word(dice.rank())))?;
    run("term in a field", &mut |dice| format!("{field}:{}", frequent(dice)))?;
    run("phrase in a field", &mut |dice| {
        format!("{field}:\"{} {}\"", word(dice.rank()), word(dice.rank()))
    })?;
    run("prefix", &mut |dice| format!("{}*", frequent(dice)))?;
    run("NOT", &mut |dice| format!("{} AND NOT {}", frequent(dice), word(dice.rank())))?;
    if resources {
        run("value of a field", &mut |_| "categories:memory-corruption".into())?;
        run("range of dates", &mut |dice| {
            format!("date:[2015-01-01 TO 2016-01-01] AND {}", frequent(dice))
        })?;
    } else {
        run("range of numbers", &mut |dice| format!("files:[1 TO 5] AND {}", frequent(dice)))?;
    }
    breakdowns(search, scope, resources)
}

fn breakdowns(search: &Search, scope: Scope, resources: bool) -> Outcome<()> {
    let (few, many) = if resources { ("categories", "package") } else { ("branch", "subject") };
    let all = SearchQuery { scope, ..SearchQuery::new("*") };
    let facets = [few, many];
    let by_field = Sort::parse(&format!("-{many}"));
    let variants = [
        ("everything, newest first", all.clone()),
        ("everything with two facets", SearchQuery { facets: &facets, ..all.clone() }),
        ("everything by month", SearchQuery { histogram: Some(Interval::Month), ..all.clone() }),
        ("everything sorted by a text", SearchQuery { sort: by_field, ..all }),
    ];
    for (name, query) in variants {
        let mut times = Vec::new();
        for _ in 0..20 {
            let start = Instant::now();
            search.query(&query)?;
            times.push(start.elapsed());
        }
        println!("{name}: {}", percentiles(&mut times));
    }
    Ok(())
}

fn commits(
    search: &Search,
    documents: u64,
    make: fn(&mut Dice, u64) -> Made,
    resources: bool,
) -> Outcome<()> {
    let mut dice = Dice(3);
    let mut n = documents;
    for (size, replaced, rounds) in [(1, false, 200), (1, true, 200), (1_000, false, 20)] {
        if replaced && !resources {
            continue;
        }
        let (mut times, mut first) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let from = if replaced { dice.below(documents) } else { n };
            let made: Vec<Made> = (from..from + size).map(|n| make(&mut dice, n)).collect();
            let changes: Vec<Change<'_>> = (n..)
                .zip(&made)
                .map(|(n, made)| Change::Put(document(made, n, resources)))
                .collect();
            let start = Instant::now();
            n += size;
            search.apply(changes, Position(n))?;
            search.commit()?;
            times.push(start.elapsed());
            let start = Instant::now();
            let scope = if resources { Scope::Resources } else { Scope::Events };
            let word = word(dice.rank());
            search.query(&SearchQuery { scope, ..SearchQuery::new(&word) })?;
            first.push(start.elapsed());
        }
        println!(
            "commit of {size}{}: {}; a query after each: {}; {} segments then",
            if replaced { " replacing another" } else { "" },
            percentiles(&mut times),
            percentiles(&mut first),
            search.stats().segments,
        );
    }
    Ok(())
}

fn percentiles(times: &mut [Duration]) -> String {
    times.sort();
    let at = |percent: usize| times.get((times.len() * percent / 100).min(times.len() - 1));
    let mut text = String::new();
    for (name, percent) in [("p50", 50), ("p99", 99)] {
        let time = at(percent).copied().unwrap_or_default();
        let _ = write!(text, "{name} {:.2} ms ", time.as_secs_f64() * 1e3);
    }
    text.trim_end().to_owned()
}

/// What the system says this process used of its processors, to a hundredth of a second.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|text| text.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// Resident memory of this process, mapped files included.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}
