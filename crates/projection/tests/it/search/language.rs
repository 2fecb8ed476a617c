//! What the language says, sentence by sentence.

use annal_projection::search::{
    FacetValue, Interval, Language, Operator, Scope, Search, SearchQuery, Sort,
};

use super::world::{Doc, World, options};

fn docs() -> Vec<Doc> {
    let advisories = [
        (
            "advisory/RUSTSEC-2020-0049",
            r#"{"title":"Use-after-free in Framed due to lack of pinning","package":"actix-codec","date":"2020-01-30","url":"https://github.com/actix/actix-net/issues/91","categories":["memory-corruption"],"versions":{"patched":[">= 0.3.0-beta.1"]},"score":7.5,"withdrawn":false,"type":"Unsound"}"#,
        ),
        (
            "advisory/RUSTSEC-2021-0124",
            r#"{"title":"Data race when sending and receiving after closing a oneshot channel","package":"tokio","date":"2021-11-16T23:30:00-02:00","categories":["thread-safety","memory-corruption"],"score":5,"withdrawn":false,"author":{"name":"Ada Lovelace"},"n":-5}"#,
        ),
        (
            "advisory/RUSTSEC-2021-0001",
            r#"{"title":"free after use of a corruption of memory","package":"tokio-util","date":"2021-12-31","categories":["crypto-failure"],"score":12345678901234567890,"withdrawn":true,"author":{"name":"Grace Hopper"},"author.mail":"grace@example.com"}"#,
        ),
        ("note/1", r#"["logging is off", "LOGS rotate", {"status":"open"}]"#),
        ("note/2", r#""日本語のテキスト and a naïve café""#),
        (
            "issue/123",
            r#"{"status":"open","title":"The memory, corruption apart","labels":["a b","c"]}"#,
        ),
    ];
    let mut docs: Vec<Doc> =
        (1..).zip(advisories).map(|(n, (key, json))| Doc::resource(key, n, json)).collect();
    docs.push(Doc::event(7, "order.placed", "orders/42", r#"{"item":"memory card","n":3}"#));
    docs.push(Doc::event(8, "order.paid", "orders/42/items", r#"{"item":"card","n":4}"#));
    docs.push(Doc::event(9, "order.paid", "payments", "not JSON at all"));
    docs
}

#[test]
fn every_sentence_means_what_it_says() {
    let world = World::of(&docs());
    let (first, second, third) =
        ("advisory/RUSTSEC-2020-0049", "advisory/RUSTSEC-2021-0124", "advisory/RUSTSEC-2021-0001");
    let (note, japanese, issue) = ("note/1", "note/2", "issue/123");
    let table: &[(&str, &[&str])] = &[
        // Words, anywhere.
        ("pinning", &[first]),
        ("PINNING", &[first]),
        ("oneshot pinning", &[first, second]),
        ("oneshot AND pinning", &[]),
        ("ada", &[second]),
        ("absent", &[]),
        ("logs", &[note]),
        ("café", &[japanese]),
        ("日本", &[japanese]),
        ("本日", &[]),
        ("テキスト", &[japanese]),
        // Phrases.
        ("\"use after free\"", &[first]),
        ("use-after-free", &[first]),
        ("'use after free'", &[first]),
        ("\"free after use\"", &[third]),
        ("\"off logs\"", &[]),
        ("\"logging off\"~1", &[note]),
        ("memory-corruption", &[first, second, issue]),
        // Operators.
        ("use AND free", &[first, third]),
        ("use AND NOT pinning", &[third]),
        ("NOT (use OR data)", &[note, japanese, issue]),
        ("NOT NOT pinning", &[first]),
        ("+use -pinning", &[third]),
        ("use NOT pinning", &[third]),
        ("-use", &[second, note, japanese, issue]),
        ("pinning OR oneshot AND channel", &[first, second]),
        ("(pinning OR oneshot) AND channel", &[second]),
        ("pinning OR -use", &[first, second, note, japanese, issue]),
        ("a\u{a0}AND\tb", &[issue]),
        ("lack^2 oneshot", &[first, second]),
        // Fields.
        ("package:tokio", &[second, third]),
        ("package:tokio-util", &[third]),
        ("package:\"tokio\" AND NOT package:tokio-util", &[second]),
        ("categories:memory-corruption", &[first, second]),
        ("categories:thread", &[second]),
        ("title:memory-corruption", &[issue]),
        ("title:\"use after free\"", &[first]),
        ("title:\"free after use\"", &[third]),
        ("title:(pinning OR oneshot)", &[first, second]),
        ("title: pinning", &[first]),
        ("author.name:\"ada lovelace\"", &[second]),
        ("author.name:lovelace", &[second]),
        ("author.mail:grace@example.com", &[third]),
        ("versions.patched:0.3.0-beta.1", &[first]),
        ("labels:\"a b\"", &[issue]),
        ("labels:\"b c\"", &[]),
        ("status:open", &[note, issue]),
        ("status: IN [closed open]", &[note, issue]),
        ("package: IN [tokio-util actix-codec]", &[first, third]),
        ("url:https://github.com/actix", &[first]),
        ("https://github.com/actix", &[first]),
        ("Title:pinning", &[]),
        // Values.
        ("score:5", &[second]),
        ("score:5.0", &[second]),
        ("score:7.5", &[first]),
        ("score:12345678901234567890", &[third]),
        ("n:-5", &[second]),
        ("withdrawn:true", &[third]),
        ("withdrawn:false", &[first, second]),
        // Ranges.
        ("score:[5 TO 7.5]", &[first, second]),
        ("score:{5 TO 7.5]", &[first]),
        ("score:[5 TO 7.5}", &[second]),
        ("score:[6 TO *]", &[first, third]),
        ("score:>5", &[first, third]),
        ("score:>=5", &[first, second, third]),
        ("score:<7.5", &[second]),
        ("n:[-10 TO -1]", &[second]),
        ("date:[2021-01-01 TO 2021-12-31]", &[second, third]),
        ("date:[2021-11-16 TO 2021-11-16]", &[]),
        ("date:[2021-11-17 TO 2021-11-17]", &[second]),
        ("date:[2020 TO 2020]", &[first]),
        ("date:>2021-11", &[third]),
        ("date:>=2021-11", &[second, third]),
        ("date:<2021-11-17T01:30:00Z", &[first]),
        ("date:<=2021-11-17T01:30:00Z", &[first, second]),
        ("date:[2021-11-17T02:30:00+01:00 TO *]", &[second, third]),
        ("author.name:[ada TO b]", &[second]),
        ("author.name:{grace TO z]", &[third, second]),
        ("author.name:[h TO hz]", &[third]),
        ("author.name:[m TO *]", &[]),
        ("categories:[memory TO n]", &[first, second]),
        ("categories:{memory TO n]", &[]),
        ("author.name:<b", &[second]),
        // Prefixes.
        ("log*", &[note]),
        ("logg*", &[note]),
        ("\"use after fr\"*", &[first]),
        ("use-after-fr*", &[first]),
        ("title:use-after-fr*", &[first]),
        ("title:free-after-u*", &[third]),
        ("package:tok*", &[second, third]),
        ("categories:memory-cor*", &[first, second]),
        ("日*", &[japanese]),
        // There at all.
        ("*", &[first, second, third, note, japanese, issue]),
        ("author:*", &[second, third]),
        ("author.mail:*", &[third]),
        ("score:[* TO *]", &[first, second, third]),
        ("NOT title:*", &[note, japanese]),
        // Attributes.
        ("type:advisory", &[first, second, third]),
        ("type:adv*", &[first, second, third]),
        ("data.type:unsound", &[first]),
        ("data.title:pinning", &[first]),
        ("subject:issue/123", &[issue]),
        ("subject:issue/*", &[issue]),
        ("subject:\"note/1\"", &[note]),
        ("subject:note", &[]),
        ("subject:[note TO note/1]", &[note]),
        ("source:/shop AND pinning", &[first]),
        ("source:/sh*", &[first, second, third, note, japanese, issue]),
        // Whole ids.
        ("RUSTSEC-2020-0049", &[first]),
        ("rustsec-2021-0124", &[second]),
        ("advisory/RUSTSEC-2021-0001", &[third]),
        ("123", &[issue]),
        ("2020-0049", &[]),
        ("", &[first, second, third, note, japanese, issue]),
        ("  ", &[first, second, third, note, japanese, issue]),
    ];
    for (text, expected) in table {
        let mut expected: Vec<&str> = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(world.keys(text, Scope::Resources), expected, "{text}");
    }
}

#[test]
fn events_and_all() {
    let world = World::of(&docs());
    let events: &[(&str, &[&str])] = &[
        ("card", &["@7", "@8"]),
        ("*", &["@7", "@8", "@9"]),
        ("NOT card", &["@9"]),
        ("subject:orders/*", &["@7", "@8"]),
        ("subject:orders/42", &["@7"]),
        ("orders/42", &["@7"]),
        ("payments", &["@9"]),
        ("type:order.paid AND n:[4 TO 9]", &["@8"]),
        ("data.item:memory-card", &["@7"]),
        ("pinning", &[]),
    ];
    for (text, expected) in events {
        assert_eq!(world.keys(text, Scope::Events), *expected, "{text}");
    }
    let all = ["@7", "advisory/RUSTSEC-2020-0049", "advisory/RUSTSEC-2021-0001"];
    assert_eq!(world.keys("memory AND NOT (apart OR oneshot)", Scope::All), all);
    assert_eq!(world.keys("*", Scope::All).len(), 9);
}

#[test]
fn words_side_by_side_can_mean_all() {
    let world = World::of(&docs());
    let count =
        |text: &str, operator| world.ask(&SearchQuery { operator, ..SearchQuery::new(text) }).count;
    assert_eq!(count("use pinning", Operator::Or), 2);
    assert_eq!(count("use pinning", Operator::And), 1);
    assert_eq!(count("use -pinning", Operator::And), 1);
    assert_eq!(count("use free OR oneshot", Operator::And), 3);
    assert_eq!(count("title:(use free) NOT pinning", Operator::And), 1);
}

#[test]
fn the_best_come_first_and_equals_newest_first() {
    let docs = [
        Doc::resource("n/1", 1, r#"{"t":"apple"}"#),
        Doc::resource("n/2", 2, r#"{"t":"apple apple pie"}"#),
        Doc::resource("n/3", 3, r#"{"t":"apple"}"#),
        Doc::resource("n/4", 4, r#"{"t":"a long text in which one apple is mentioned somewhere"}"#),
        Doc::event(3, "made", "n/3", r#"{"t":"apple"}"#),
    ];
    let world = World::of(&docs);
    let keys = |query: SearchQuery<'_>| -> Vec<String> {
        world.ask(&query).hits.iter().map(|hit| super::world::name(&hit.key)).collect()
    };
    let query = SearchQuery::new("apple");
    assert_eq!(keys(query.clone()), ["n/2", "n/3", "n/1", "n/4"]);
    let scores: Vec<f32> = world.ask(&query).hits.iter().filter_map(|hit| hit.score).collect();
    assert!(scores.len() == 4 && scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    assert_eq!(keys(SearchQuery { offset: 1, limit: 2, ..query }), ["n/3", "n/1"]);
    assert_eq!(keys(SearchQuery::new("*")), ["n/4", "n/3", "n/2", "n/1"]);
    let all = SearchQuery { scope: Scope::All, ..SearchQuery::new("*") };
    assert_eq!(keys(all), ["n/4", "n/3", "@3", "n/2", "n/1"]);
}

#[test]
fn sorted_by_a_field() {
    let docs = [
        Doc::resource("n/1", 1, r#"{"v":2,"w":"b"}"#),
        Doc::resource("n/2", 2, r#"{"v":10,"w":["z","a"]}"#),
        Doc::resource("n/3", 3, r#"{"v":"2021-05-01T00:00:00+02:00","w":"c"}"#),
        Doc::resource("n/4", 4, r#"{"v":"2021-04-30T23:00:00Z"}"#),
        Doc::resource("n/5", 5, r#"{"v":"text"}"#),
        Doc::resource("n/6", 6, r#"{"v":true}"#),
        Doc::resource("n/7", 7, r#"{"v":2.5}"#),
        Doc::resource("n/8", 8, r#"{"w":"b"}"#),
    ];
    let world = World::of(&docs[..4]);
    // Over several segments.
    world.put(&docs[4..]);
    let keys = |sort: &str| -> String {
        let query = SearchQuery { sort: Sort::parse(sort), ..SearchQuery::new("*") };
        world
            .ask(&query)
            .hits
            .iter()
            .map(|hit| super::world::name(&hit.key)[2..].to_owned())
            .collect()
    };
    assert_eq!(keys("v"), "61723458");
    assert_eq!(keys("w"), "28137654");
    assert_eq!(keys("_position"), "12345678");
    assert_eq!(keys("-_position"), "87654321");
    assert_eq!(keys("-_time"), "87654321");
    assert_eq!(keys("-subject"), "87654321");
}

#[test]
fn facets_and_histogram() {
    let mut docs: Vec<Doc> = (0..30)
        .map(|n| {
            let labels = if n % 2 == 0 { r#"["even","even"]"# } else { r#"["odd","few"]"# };
            let content = format!(
                r#"{{"status":"s{}","labels":{labels},"n":{},"ok":{}}}"#,
                n % 3,
                n % 4,
                n < 5
            );
            Doc::resource(&format!("n/{n}"), n + 1, &content)
        })
        .collect();
    for (n, doc) in docs.iter_mut().enumerate() {
        doc.time.0 = (1_700_000_000 + n as i64 * 86_400) * 1_000_000;
    }
    let long = format!(r#"{{"status":"{}"}}"#, "x".repeat(100));
    docs.push(Doc::resource("n/long", 31, &long));
    let world = World::of(&docs[..17]);
    world.put(&docs[17..]);
    let facets = ["status", "labels", "n", "ok", "subject", "absent"];
    let query = SearchQuery {
        facets: &facets,
        facet_values: 3,
        histogram: Some(Interval::Month),
        ..SearchQuery::new("*")
    };
    let found = world.ask(&query);
    assert_eq!(found.count, 31);
    let listed = |index: usize| -> Vec<(String, u64)> {
        let text = |value: &FacetValue| match value {
            FacetValue::Text(text) => text.clone(),
            value => format!("{value:?}"),
        };
        found.facets[index].values.iter().map(|one| (text(&one.value), one.count)).collect()
    };
    let expected = |values: &[(&str, u64)]| -> Vec<(String, u64)> {
        values.iter().map(|(value, count)| (value.to_string(), *count)).collect()
    };
    assert_eq!(listed(0), expected(&[("s0", 10), ("s1", 10), ("s2", 10)]));
    assert_eq!((found.facets[0].other_values, found.facets[0].other_count), (1, 1));
    assert_eq!(listed(1), expected(&[("even", 15), ("few", 15), ("odd", 15)]));
    assert_eq!(listed(2), expected(&[("Signed(0)", 8), ("Signed(1)", 8), ("Signed(2)", 7)]));
    assert_eq!((found.facets[2].other_values, found.facets[2].other_count), (1, 7));
    assert_eq!(listed(3), expected(&[("Bool(false)", 25), ("Bool(true)", 5)]));
    assert_eq!((found.facets[4].other_values, found.facets[4].other_count), (28, 28));
    assert_eq!(listed(5), expected(&[]));
    let by_month: Vec<(String, u64)> =
        found.histogram.iter().map(|bucket| (bucket.start.to_string(), bucket.count)).collect();
    assert_eq!(
        by_month,
        expected(&[
            ("1970-01-01T00:00:00.000000Z", 1),
            ("2023-11-01T00:00:00.000000Z", 17),
            ("2023-12-01T00:00:00.000000Z", 13)
        ])
    );
    let cut = world.ask(&SearchQuery { facet_values: 10, ..query }).facets[0].values[3].clone();
    assert_eq!(cut.value, FacetValue::Text(format!("{}…", "x".repeat(45))));
}

#[test]
fn filters_and_times() {
    let world = World::of(&docs());
    let at = |seconds: i64| Some(annal_event::Timestamp(seconds * 1_000_000));
    let count = |query: SearchQuery<'_>| world.ask(&query).count;
    let all = SearchQuery { scope: Scope::All, ..SearchQuery::new("*") };
    assert_eq!(count(SearchQuery { doc_type: Some("order.paid"), ..all.clone() }), 2);
    assert_eq!(count(SearchQuery { since: at(7), ..all.clone() }), 3);
    assert_eq!(count(SearchQuery { until: at(7), ..all.clone() }), 7);
    assert_eq!(count(SearchQuery { since: at(3), until: at(4), ..all.clone() }), 2);
    assert_eq!(count(SearchQuery { since: at(5), until: at(4), ..all }), 0);
}

#[test]
fn stems_meet_their_words() {
    let dir = tempfile::tempdir().expect("a directory");
    let options =
        annal_projection::search::SearchOptions { stemming: Some(Language::English), ..options() };
    let search = Search::open(dir.path(), options).expect("it opens");
    let world = World { search, dir };
    world.put(&[
        Doc::resource("n/1", 1, r#"{"t":"logging corruptions","k":"memory-corruptions"}"#),
        Doc::resource("n/2", 2, r#"{"t":"a log of corruption","k":"memory"}"#),
    ]);
    for (text, expected) in [
        ("logs", 2),
        ("log", 2),
        ("logging", 2),
        ("logging*", 2),
        ("logg*", 0),
        ("t:corrupted", 2),
        ("\"logged corruption\"", 1),
        ("k:memory-corruption", 1),
        ("k:\"memories corrupt\"", 1),
        ("t:\"log corruption\"", 1),
    ] {
        assert_eq!(world.keys(text, Scope::Resources).len(), expected, "{text}");
    }
}

#[test]
fn words_are_shown_where_they_stand() {
    let world = World::of(&docs());
    let html = |query: &str, content: &str| -> Vec<(String, String)> {
        let mut highlighter =
            world.search.highlighter(&SearchQuery::new(query)).expect("it parses");
        let snippets = highlighter.snippets(content);
        snippets.into_iter().map(|snippet| (snippet.path, snippet.html)).collect()
    };
    let shown = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(path, html)| (path.to_string(), html.to_string())).collect()
    };
    let content =
        r#"{"title":"Use <b>after</b> free","body":{"text":"free & use after free"},"n":1}"#;
    assert_eq!(
        html("free", content),
        shown(&[
            ("title", "Use &lt;b&gt;after&lt;/b&gt; <em>free</em>"),
            ("body.text", "<em>free</em> &amp; use after <em>free</em>"),
        ])
    );
    assert_eq!(
        html("\"use after free\" AND NOT missing", content),
        shown(&[("body.text", "free &amp; <em>use after free</em>")])
    );
    assert_eq!(html("title:fr*", content)[0].1, "Use &lt;b&gt;after&lt;/b&gt; <em>free</em>");
    assert_eq!(html("body:free -free subject:free n:1", content), []);
    assert_eq!(html("free", "\"so free\""), shown(&[("", "so <em>free</em>")]));
    let long = format!(r#"{{"t":"{} needle {}"}}"#, "hay ".repeat(100), "häy ".repeat(100));
    let snippet = &html("needle", &long)[0].1;
    assert!(snippet.starts_with("…hay hay"), "{snippet}");
    assert!(snippet.contains(" <em>needle</em> ") && snippet.ends_with("häy…"), "{snippet}");
    assert!(snippet.len() < 300, "{snippet}");
}
