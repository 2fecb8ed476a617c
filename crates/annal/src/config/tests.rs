//! Levels, names and refusals of settings.

use std::path::Path;

use annal_engine::{Durability, Language};

use super::{ConfigError, Environment, Promise, SearchScope, Settings, Size, Stemming, Switch};

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn file(text: &str) -> Result<Settings, ConfigError> {
    Settings::parse(Path::new("annal.toml"), text)
}

#[test]
fn flags_over_environment_over_file() {
    let flags = Settings { port: Some(1), ..Settings::default() };
    let variables = environment(&[("PORT", "2"), ("ANNAL_TAIL_BYTES", "2MiB")]).settings().unwrap();
    let file = file("port = 3\ntail_bytes = '3MiB'\nsegment_bytes = 3145728").unwrap();
    let settings = flags.over(variables).over(file);
    assert_eq!(settings.port, Some(1));
    assert_eq!(settings.tail_bytes, Some(Size(2 << 20)));
    assert_eq!(settings.segment_bytes, Some(Size(3 << 20)));
}

#[test]
fn a_key_that_does_not_exist_is_named() {
    let error = file("prot = 8000").unwrap_err().to_string();
    assert!(error.contains("annal.toml") && error.contains("prot"), "{error}");
}

#[test]
fn a_value_that_cannot_be_used_is_named_with_its_variable() {
    let error = environment(&[("PORT", "eighty")]).settings().unwrap_err().to_string();
    assert!(error.contains("PORT") && error.contains("eighty"), "{error}");
    let error = environment(&[("ANNAL_DURABILITY", "perhaps")]).settings().unwrap_err();
    assert!(error.to_string().contains("ANNAL_DURABILITY"), "{error}");
    let error = environment(&[("RS_BUFFER_SIZE", "big")]).settings().unwrap_err();
    assert!(error.to_string().contains("RS_BUFFER_SIZE"), "{error}");
}

#[test]
fn every_setting_is_a_variable_too() {
    let settings = environment(&[
        ("ANNAL_BIND", "0.0.0.0"),
        ("ANNAL_CORS_ORIGIN", "http://a.example, http://b.example"),
        ("ANNAL_DEMO", "1"),
        ("DEMO", "0"),
        ("ANNAL_LOG_FORMAT", "json"),
    ])
    .settings()
    .unwrap();
    assert_eq!(settings.bind, Some([0, 0, 0, 0].into()));
    assert_eq!(settings.cors_origin.as_deref().map(<[_]>::len), Some(2));
    assert_eq!(settings.demo, Some(Switch(true)), "ANNAL_ goes first");
}

#[test]
fn a_port_can_be_switched_off() {
    assert_eq!(Settings::default().grpc_port(), Some(50_051));
    assert_eq!(Settings::default().rest_port(), None);
    let file = file("grpc_port = 'off'\nrest_port = 8080").unwrap();
    assert_eq!((file.grpc_port(), file.rest_port()), (None, Some(8080)));
    let variables = environment(&[("ANNAL_GRPC_PORT", "0"), ("ANNAL_REST_PORT", "off")]);
    let over = variables.settings().unwrap().over(file);
    assert_eq!((over.grpc_port(), over.rest_port()), (Some(0), None));
    assert!(environment(&[("ANNAL_GRPC_PORT", "70000")]).settings().is_err());
}

#[test]
fn what_is_searched_and_how() {
    let search = |text: &str| file(text).unwrap().engine_options().unwrap().search;
    let all = search("").expect("on unless switched off");
    assert_eq!((all.events, all.stemming), (true, None));
    let resources = search("search = 'resources'\nsearch_language = 'dutch'").expect("on");
    assert_eq!((resources.events, resources.stemming), (false, Some(Language::Dutch)));
    assert!(search("search = 'off'").is_none());
    let variables = environment(&[("ANNAL_SEARCH", "off"), ("ANNAL_SEARCH_LANGUAGE", "none")]);
    let settings = variables.settings().unwrap();
    assert_eq!(
        (settings.search, settings.search_language),
        (Some(SearchScope::Off), Some(Stemming(None)))
    );
    for language in ["klingon", "", "é"] {
        let error = environment(&[("ANNAL_SEARCH_LANGUAGE", language)]).settings().unwrap_err();
        assert!(error.to_string().contains("ANNAL_SEARCH_LANGUAGE"), "{error}");
    }
}

#[test]
fn unknown_variables_of_ours_are_said() {
    let environment = environment(&[("ANNAL_PROT", "1"), ("ANNAL_PORT", "1"), ("HOME", "x")]);
    assert_eq!(environment.unknown(), ["ANNAL_PROT"]);
}

#[test]
fn the_older_names_of_the_logs_tuning() {
    let durability = |variables: &[(&str, &str)]| {
        environment(variables).settings().unwrap().durability.map(|promise| promise.0)
    };
    let interval = |ms| Some(Durability::Interval { ms });
    assert_eq!(durability(&[("RS_FSYNC_ON_APPEND", "1")]), Some(Durability::Always));
    assert_eq!(
        durability(&[("RS_FSYNC_ON_APPEND", "0"), ("RS_FLUSH_INTERVAL_MS", "7")]),
        interval(7)
    );
    assert_eq!(durability(&[("RS_OPT_PERSIST", "1")]), interval(100));
    assert_eq!(
        durability(&[("RS_OPT_PERSIST", "1"), ("RS_FSYNC_ON_APPEND", "true")]),
        Some(Durability::Always)
    );
    assert_eq!(
        durability(&[("RS_FLUSH_INTERVAL_MS", "7")]),
        None,
        "an interval alone weakens nothing"
    );
    let over = environment(&[("RS_FSYNC_ON_APPEND", "0"), ("ANNAL_DURABILITY", "always")]);
    assert_eq!(over.settings().unwrap().durability, Some(Promise(Durability::Always)));

    let sizes = environment(&[("RS_MAX_EVENTS_BUFFER", "2000"), ("RS_EVENT_MAX_BATCH", "5")]);
    let options = sizes.settings().unwrap().engine_options().unwrap();
    assert_eq!(options.group_bytes_max, 2000 * 1024);
    assert_eq!(options.limits.batch_events_max, 5);
}

#[test]
fn sizes_are_read_with_their_units() {
    let read = |text: &str| text.parse::<Size>().map(|size| size.0);
    assert_eq!(read("123"), Ok(123));
    assert_eq!(read("4MiB"), Ok(4 << 20));
    assert_eq!(read("4 kib"), Ok(4 << 10));
    assert!(read("4 miles").is_err());
    assert!(read("-1").is_err());
    assert!(read("99999999999GiB").is_err());
    assert!(read("").is_err());
}

#[test]
fn bounds_that_make_no_sense_are_refused() {
    let refused = |text: &str| file(text).unwrap().engine_options().unwrap_err().to_string();
    assert!(refused("event_bytes_max = 1000").contains("64KiB"));
    assert!(refused("request_bytes_max = '512KiB'").contains("request_bytes_max"));
    assert!(refused("queue_bytes_max = 1").contains("queue_bytes_max"));
    assert!(refused("segment_bytes = 1").contains("segment_bytes"));
    assert!(file("").unwrap().engine_options().is_ok());
}
