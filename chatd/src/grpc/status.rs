//! What was not done, as gRPC says it: the one mapping of chatd's codes.
//!
//! Invariant: chatd's code and words go with every status that this program gives for a refusal, so that a client need not
//! guess from the few codes of gRPC; nothing internal does.

use chat_proto::{BOUND, CODE, LIMIT, PER_MS, RETRY_AFTER_MS};
use chat_protocol::code::Reached;
use chat_protocol::{Code, Refusal};
use tonic::metadata::MetadataMap;
use tonic::{Code as Grpc, Status};

/// The status of a request that was not done.
pub(super) fn status(refusal: &Refusal) -> Status {
    let mut metadata = MetadataMap::new();
    metadata.insert(CODE, refusal.code.number().into());
    if let Some(wait_ms) = refusal.retry_after_ms {
        metadata.insert(RETRY_AFTER_MS, wait_ms.into());
    }
    if let Some(reached) = &refusal.limit {
        tell(&mut metadata, reached);
    }
    Status::with_metadata(code(refusal.code), refusal.reason.clone(), metadata)
}

fn tell(metadata: &mut MetadataMap, Reached { name, bound, per_ms }: &Reached) {
    // Names of settings are ASCII.
    if let Ok(name) = name.parse() {
        metadata.insert(LIMIT, name);
    }
    for (key, number) in [(BOUND, bound), (PER_MS, per_ms)] {
        if let Some(number) = *number {
            metadata.insert(key, number.into());
        }
    }
}

fn code(code: Code) -> Grpc {
    match code {
        Code::Success => Grpc::Ok,
        Code::NotLoggedIn => Grpc::Unauthenticated,
        Code::BadParameter | Code::BadUserId | Code::TooLarge => Grpc::InvalidArgument,
        Code::NotAuthorised => Grpc::PermissionDenied,
        Code::ServerError => Grpc::Internal,
        Code::NotFound => Grpc::NotFound,
        Code::RefusedByRule | Code::InsufficientBalance => Grpc::FailedPrecondition,
        Code::UnknownOperation | Code::MethodNotAllowed => Grpc::Unimplemented,
        Code::TooManyRequests => Grpc::ResourceExhausted,
        Code::StoreUnreachable => Grpc::Unavailable,
    }
}

/// The refusal that a status of the library stands for, which it gives before anything here is asked; none for other
/// ones. `max_bytes`: of a request.
pub(super) fn foreign(status: &Status, max_bytes: usize) -> Option<Refusal> {
    if status.metadata().contains_key(CODE) {
        return None;
    }
    let bad = |why: String| Some(Refusal::new(Code::BadParameter, why));
    match status.code() {
        Grpc::OutOfRange => {
            let why = format!("the request may hold at most {max_bytes} bytes");
            Some(Refusal::new(Code::TooLarge, why))
        }
        Grpc::Internal => bad(format!("the request cannot be read: {}", status.message())),
        Grpc::Unimplemented => Some(Refusal::new(Code::UnknownOperation, "there is no such method")),
        _ => None,
    }
}

/// The refusal of another node that a status tells; none where chatd's code is not in it.
pub(super) fn refusal(status: &Status) -> Option<Refusal> {
    let code = Code::from_number(code_of(status)?)?;
    let told = |key: &str| status.metadata().get(key).and_then(|value| value.to_str().ok());
    let number = |key: &str| told(key).and_then(|text| text.parse().ok());
    let reached =
        |name: &str| Reached { name: name.to_owned().into(), bound: number(BOUND), per_ms: number(PER_MS) };
    Some(Refusal {
        code,
        reason: status.message().to_owned(),
        retry_after_ms: number(RETRY_AFTER_MS),
        limit: told(LIMIT).map(|name| Box::new(reached(name))),
    })
}

/// chatd's code in a status; none where it has none.
pub(super) fn code_of(status: &Status) -> Option<u16> {
    status.metadata().get(CODE)?.to_str().ok()?.parse().ok()
}

/// The deadline passed first.
pub(super) fn late() -> Status {
    Status::deadline_exceeded(
        "the deadline passed; whether it was done is not known: repeat it with the same msg_id",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_goes_with_its_status_and_its_words() {
        for known in Code::ALL.into_iter().filter(|code| *code != Code::Success) {
            let mut refusal = Refusal::new(known, "why: 黄帝\n100%");
            refusal.retry_after_ms = Some(1500);
            let status = status(&refusal);
            assert_ne!(status.code(), Grpc::Ok, "{known:?}");
            assert_eq!((code_of(&status), status.message()), (Some(known.number()), "why: 黄帝\n100%"));
            assert_eq!(status.metadata().get(RETRY_AFTER_MS).unwrap(), "1500");
            assert_eq!(foreign(&status, 1), None, "it is our own");
            assert_eq!(super::refusal(&status), Some(refusal), "another node reads what was written");
        }
    }

    #[test]
    fn a_limit_goes_with_its_name_and_what_it_allows() {
        let mut refusal = Refusal::new(Code::TooManyRequests, "no");
        let told = |refusal: &Refusal| {
            let status = status(refusal);
            [LIMIT, BOUND, PER_MS].map(|key| {
                status.metadata().get(key).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
            })
        };
        assert_eq!(told(&refusal), ["", "", ""]);
        for (name, bound, per_ms, expected) in [
            ("rate_per_user", Some(20), Some(1000), ["rate_per_user", "20", "1000"]),
            ("max_apps", Some(1), None, ["max_apps", "1", ""]),
            ("file_types", None, None, ["file_types", "", ""]),
        ] {
            refusal.limit = Some(Box::new(Reached { name: name.into(), bound, per_ms }));
            assert_eq!(told(&refusal), expected);
            assert_eq!(super::refusal(&status(&refusal)).as_ref(), Some(&refusal));
        }
    }

    #[test]
    fn what_the_library_refuses_is_told_as_a_refusal_too() {
        let code = |status| foreign(&status, 7).map(|refusal| refusal.code);
        assert_eq!(code(Status::out_of_range("x")), Some(Code::TooLarge));
        assert_eq!(code(Status::internal("x")), Some(Code::BadParameter));
        assert_eq!(code(Status::unimplemented("x")), Some(Code::UnknownOperation));
        assert_eq!(code(late()), None);
        assert_eq!(refusal(&late()), None, "whether it was done is not known");
    }
}
