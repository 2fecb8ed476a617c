//! Endpoints behind TLS: whom the sender trusts, and whom it does not.
//!
//! The certificates beside this file are valid from 2020 to 2120; `sink.pem`, for `sink.test` and
//! 127.0.0.1, was signed by `ca.pem`, and `stranger.pem` is another authority.

use std::{io, net::IpAddr, sync::Arc};

use annal_engine::EngineOptions;
use annal_server::{
    Addresses, CallbackAuthorities, CallbackRules, ParseAuthoritiesError, Resolve, ServerOptions,
};
use rustls::{
    ServerConfig,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::{append, consumer, durable};
use crate::{
    fixture::Served,
    sink::{Sink, until},
};

const CA: &[u8] = include_bytes!("tls/ca.pem");
const STRANGER: &[u8] = include_bytes!("tls/stranger.pem");
const SINK: &[u8] = include_bytes!("tls/sink.pem");
const SINK_KEY: &[u8] = include_bytes!("tls/sink-key.pem");

/// Every name is this machine.
#[derive(Debug)]
struct Here;

impl Resolve for Here {
    fn resolve(&self, _: &str) -> Addresses {
        Box::pin(async { io::Result::Ok(vec![IpAddr::from([127, 0, 0, 1])]) })
    }
}

fn trusting(pem: &[u8]) -> Served {
    let options = ServerOptions {
        callbacks: CallbackRules { loopback: true, ..CallbackRules::default() },
        callback_authorities: CallbackAuthorities::from_pem(pem).expect("authorities"),
        resolver: Arc::new(Here),
        ..ServerOptions::default()
    };
    Served::with(options, EngineOptions::default())
}

fn sink() -> Sink {
    let certificate = CertificateDer::from_pem_slice(SINK).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(SINK_KEY).expect("a key");
    let config = ServerConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key);
    Sink::secure(config.expect("a certificate and its key").into())
}

#[test]
fn an_authority_that_is_named_is_trusted() {
    let (served, sink) = (trusting(&[STRANGER, CA].concat()), sink());
    let port = sink.address.port();
    for host in ["sink.test", "127.0.0.1"] {
        durable(&served, &format!("https://{host}:{port}/in"), "");
    }
    append(&served, "e1", "s", "");
    let arrived = sink.wait_for(2);
    let mut hosts: Vec<_> = arrived.iter().map(|request| request.header("host")).collect();
    hosts.sort_unstable();
    assert_eq!(hosts, [format!("127.0.0.1:{port}"), format!("sink.test:{port}")]);
    for request in &arrived {
        assert_eq!((request.target.as_str(), request.ids()), ("/in", vec!["e1".to_owned()]));
    }
}

#[test]
fn others_are_not_sent_a_byte() {
    let stranger = "invalid peer certificate: UnknownIssuer";
    let misnamed = "certificate not valid for name \"elsewhere.test\"";
    for (trusted, host, expected) in
        [(STRANGER, "sink.test", stranger), (CA, "elsewhere.test", misnamed)]
    {
        let (served, sink) = (trusting(trusted), sink());
        let callback = format!("https://{host}:{}/in", sink.address.port());
        let (id, _) = durable(&served, &callback, "");
        append(&served, "e1", "s", "");
        until("an attempt", || !consumer(&served, &id)["last_error"].is_null());
        let error = consumer(&served, &id)["last_error"].to_string().replace("\\\"", "\"");
        assert!(error.contains("no TLS") && error.contains(expected), "{error}");
        assert!(sink.arrived().is_empty(), "{host}");
    }
}

#[test]
fn what_names_no_authority_is_refused() {
    let refused = |pem: &[u8]| CallbackAuthorities::from_pem(pem).expect_err("refused");
    assert_eq!(refused(b""), ParseAuthoritiesError::NoCertificate);
    assert_eq!(refused(SINK_KEY), ParseAuthoritiesError::NoCertificate);
    let torn = &CA[..CA.len() / 2];
    assert!(matches!(refused(torn), ParseAuthoritiesError::NotPem(_)));
    let empty = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let odd = refused(&[CA, empty].concat());
    assert!(matches!(odd, ParseAuthoritiesError::NotAnAuthority { number: 2, .. }), "{odd}");
}
