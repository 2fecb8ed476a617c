//! Refusals as gRPC has them (INV-7): a status whose code follows from that of the problem, the
//! stable code as metadata `annal-code`, and the problem's members as `google.rpc.ErrorInfo`.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use prost::Message;
use serde_json::Value;
use tonic::{
    Code as Grpc, Status,
    metadata::{MetadataMap, MetadataValue},
};

use crate::{
    problem::{Code, Problem},
    shared::Shared,
};

const DOMAIN: &str = "annal";
const ERROR_INFO: &str = "type.googleapis.com/google.rpc.ErrorInfo";

/// A detail as JSON may take so many bytes in the trailers, which clients bound (often at 8 KiB).
const MEMBER_BYTES_MAX: usize = 2_048;

/// `google.rpc.Status`
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

/// `google.rpc.ErrorInfo`
#[derive(Clone, PartialEq, Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    domain: String,
    #[prost(map = "string, string", tag = "3")]
    metadata: HashMap<String, String>,
}

/// Counts a refusal and says it in gRPC's words.
pub(super) fn refuse(shared: &Shared, problem: Problem) -> Status {
    shared.metrics.refused(problem.code());
    status(&problem)
}

/// What prost says in front of what is wrong with a message.
const NOT_DECODED: &str = "failed to decode Protobuf message: ";

/// Bytes that are no such message are for the codec an error of the server's; the client has sent
/// them. Any other status is left as it is.
pub(super) fn told_apart(shared: &Shared, status: Status) -> Status {
    let wrong = match status.code() {
        Grpc::Internal => status.message().strip_prefix(NOT_DECODED),
        _ => None,
    };
    let problem = wrong.map(|wrong| {
        let detail = format!("these bytes are not the message of this method: {wrong}");
        Problem::new(Code::MalformedBody, detail)
    });
    problem.map_or(status, |problem| refuse(shared, problem))
}

fn status(problem: &Problem) -> Status {
    let code = problem.code();
    let grpc = grpc_code(code);
    let info = ErrorInfo {
        reason: code.text().replace('-', "_").to_uppercase(),
        domain: DOMAIN.to_owned(),
        metadata: members(problem),
    };
    let detail = prost_types::Any { type_url: ERROR_INFO.to_owned(), value: info.encode_to_vec() };
    let message = problem.detail();
    let details =
        RpcStatus { code: grpc as i32, message: message.to_owned(), details: vec![detail] };
    let mut metadata = MetadataMap::new();
    metadata.insert("annal-code", MetadataValue::from_static(code.text()));
    let retry = problem.headers().iter().find(|(name, _)| name == http::header::RETRY_AFTER);
    if let Some(seconds) = retry.and_then(|(_, value)| value.to_str().ok()?.parse::<u64>().ok())
        && let Ok(ms) = MetadataValue::try_from((seconds * 1_000).to_string())
    {
        metadata.insert("grpc-retry-pushback-ms", ms);
    }
    let details = Bytes::from(details.encode_to_vec());
    Status::with_details_and_metadata(grpc, message, details, metadata)
}

/// The members of the problem document: texts as they are, everything else as JSON.
fn members(problem: &Problem) -> HashMap<String, String> {
    let Some((_, members)) = problem.members().split_first() else { return HashMap::new() };
    let json = [b"{", members, b"}"].concat();
    let members: BTreeMap<String, Value> = serde_json::from_slice(&json).unwrap_or_default();
    let text = |value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    let all = members.into_iter().map(|(name, value)| (name, text(value)));
    all.filter(|(_, text)| text.len() <= MEMBER_BYTES_MAX).collect()
}

/// The gRPC code follows from the HTTP status, but where gRPC tells more apart.
fn grpc_code(code: Code) -> Grpc {
    match code {
        Code::NotFound => Grpc::Unimplemented,
        Code::IdentityConflict => Grpc::AlreadyExists,
        Code::Damaged => Grpc::DataLoss,
        Code::RequestTooLarge | Code::TooManyStreams => Grpc::ResourceExhausted,
        Code::UnsupportedPrecondition | Code::UnsupportedEncoding => Grpc::Unimplemented,
        _ => match code.status() {
            401 => Grpc::Unauthenticated,
            403 => Grpc::PermissionDenied,
            404 | 410 => Grpc::NotFound,
            408 => Grpc::DeadlineExceeded,
            409 | 412 => Grpc::FailedPrecondition,
            429 | 507 => Grpc::ResourceExhausted,
            503 => Grpc::Unavailable,
            504 => Grpc::Unknown,
            400..500 => Grpc::InvalidArgument,
            _ => Grpc::Internal,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_keeps_its_code_and_its_members() {
        let problem = Problem::new(Code::PreconditionFailed, "nothing was stored")
            .with_json("failed", b"[{\"index\":0}]")
            .with_text("head", "7")
            .retry_after(2);
        let status = status(&problem);
        assert_eq!((status.code(), status.message()), (Grpc::FailedPrecondition, problem.detail()));
        let metadata = status.metadata();
        assert_eq!(metadata.get("annal-code").expect("a code"), "precondition-failed");
        assert_eq!(metadata.get("grpc-retry-pushback-ms").expect("a pause"), "2000");
        let details = RpcStatus::decode(status.details()).expect("a status");
        let info = ErrorInfo::decode(&details.details[0].value[..]).expect("an ErrorInfo");
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("PRECONDITION_FAILED", "annal"));
        assert_eq!(info.metadata["failed"], "[{\"index\":0}]");
        assert_eq!(info.metadata["head"], "7");
    }

    #[test]
    fn no_refusal_is_a_success() {
        for code in Code::ALL {
            assert_ne!(grpc_code(*code), Grpc::Ok, "{}", code.text());
        }
    }
}
