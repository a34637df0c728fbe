//! Bytes of hostile clients: whatever comes, and however it is cut, it is read as the protocol says or refused.
//!
//! Invariant: nothing here needs a server; `PROPTEST_CASES` says how many cases there are (256 without it).

use chat_protocol::Params;
use chat_protocol::asked::Asked;
use chat_protocol::envelope::Request;
use chat_protocol::session::{MSG, Msg};
use chatd::transport::reader::{Reader, Received};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// Bytes of a message at most, so few that many cases have more.
const MAX: usize = 300;
/// Content of a control frame at most.
const MAX_CONTROL: usize = 125;

/// What was received, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Got {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Other,
    Close(Option<(u16, String)>),
    Violation(u16),
}

/// Reads what comes in these pieces, up to a violation.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Got> {
    let (mut reader, mut got, mut kept) = (Reader::default(), Vec::new(), Vec::new());
    for piece in pieces {
        kept.extend_from_slice(piece);
        let mut at = 0;
        loop {
            got.push(match reader.next(&mut kept, &mut at, MAX) {
                Ok(None) => break,
                Ok(Some(Received::Text(text))) => Got::Text(text.into_owned()),
                Ok(Some(Received::Binary(bytes))) => Got::Binary(bytes.into_owned()),
                Ok(Some(Received::Ping(content))) => Got::Ping(content.to_vec()),
                Ok(Some(Received::Other)) => Got::Other,
                Ok(Some(Received::Close(close))) => {
                    Got::Close(close.map(|(code, reason)| (code, reason.to_owned())))
                }
                Err(violation) => {
                    got.push(Got::Violation(violation.code));
                    return got;
                }
            });
        }
        kept.drain(..at);
    }
    got
}

/// The input cut at these places.
fn cut<'a>(input: &'a [u8], places: &[Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = places.iter().map(|place| place.index(input.len() + 1)).collect();
    at.extend([0, input.len()]);
    at.sort_unstable();
    at.windows(2).map(|both| &input[both[0]..both[1]]).collect()
}

/// A frame, mostly of the kinds there are, in the form its length asks for.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let known = [0x00, 0x80, 0x01, 0x81, 0x02, 0x82, 0x88, 0x89, 0x8a];
    let first = prop_oneof![20 => select(known.to_vec()), 1 => any::<u8>()];
    let text = "[a-z帝\u{1f9e7}]{0,60}".prop_map(String::into_bytes);
    let close = (prop_oneof![any::<u16>(), 1000_u16..1015, 3000_u16..5000], "[a-z帝]{0,10}")
        .prop_map(|(code, reason)| [&code.to_be_bytes(), reason.as_bytes()].concat());
    let content = prop_oneof![
        8 => text,
        4 => vec(any::<u8>(), 0..40),
        2 => vec(any::<u8>(), 100..400),
        2 => close,
        1 => vec(Just(b'x'), 65_530..65_540),
    ];
    (first, content, any::<[u8; 4]>(), prop::bool::weighted(0.97)).prop_map(
        |(first, content, mask, is_masked)| {
            let (mut frame, masked) = (vec![first], if is_masked { 0x80 } else { 0 });
            match (u8::try_from(content.len()), u16::try_from(content.len())) {
                (Ok(length @ 0..=125), _) => frame.push(masked | length),
                (_, Ok(length)) => {
                    frame.push(masked | 126);
                    frame.extend(length.to_be_bytes());
                }
                _ => {
                    frame.push(masked | 127);
                    frame.extend((content.len() as u64).to_be_bytes());
                }
            }
            if is_masked {
                frame.extend(mask);
            }
            frame.extend(content.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
            frame
        },
    )
}

/// Many frames, of which a few have a byte that is another one.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let changed = vec((any::<Index>(), any::<u8>()), 0..3);
    (vec(frame(), 0..12), changed, prop::bool::weighted(0.5)).prop_map(|(frames, changed, is_clean)| {
        let mut bytes = frames.concat();
        if !bytes.is_empty() && !is_clean {
            changed.into_iter().for_each(|(at, byte)| *at.get_mut(&mut bytes) = byte);
        }
        bytes
    })
}

fn check_read(input: &[u8], places: &[Index]) -> Result<(), TestCaseError> {
    let whole = read([input]);
    prop_assert_eq!(&read(cut(input, places)), &whole, "in pieces");
    prop_assert_eq!(&read(input.chunks(1)), &whole, "byte by byte");
    for got in whole {
        let fits = match &got {
            Got::Text(text) => text.len() <= MAX,
            Got::Binary(bytes) => bytes.len() <= MAX,
            Got::Ping(content) => content.len() <= MAX_CONTROL,
            Got::Close(Some((code, reason))) => *code >= 1000 && reason.len() + 2 <= MAX_CONTROL,
            Got::Violation(code) => [1002, 1007, 1009].contains(code),
            Got::Other | Got::Close(None) => true,
        };
        prop_assert!(fits, "{:?}", got);
    }
    Ok(())
}

/// Any value of JSON, with names that mean something among the others.
fn json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[a-z]{0,8}",
        "\\PC{0,8}",
        select(vec!["", "msg", "user:b", "group:g", "text", "img"]).prop_map(str::to_owned)
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    let names = ["target", "type", "msg", "msgId", "msgID", "url", "size", "seq", "cmd", "data", "width"];
    let name = prop_oneof![3 => select(names.to_vec()).prop_map(str::to_owned), 1 => "\\PC{0,6}"];
    leaf.prop_recursive(3, 24, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            vec((name.clone(), inner), 0..6).prop_map(|members| Map::from_iter(members).into()),
        ]
    })
}

/// A request whose members are in any order, perhaps twice, with spaces between.
fn request() -> impl Strategy<Value = String> {
    let member = |name: &'static str, value: BoxedStrategy<Value>| {
        value.prop_map(move |value| format!("\"{name}\": {value}")).boxed()
    };
    let data = prop_oneof![
        3 => json(),
        3 => ("\\PC{0,12}", select(vec!["", "user:b", "group:g"]))
            .prop_map(|(msg, target)| serde_json::json!({"msg": msg, "target": target})),
    ];
    let cmd = prop_oneof![4 => Just(Value::from(MSG)), 1 => json()];
    let members = prop_oneof![
        3 => member("seq", prop_oneof!["\\PC{0,8}".prop_map(Value::from), json()].boxed()),
        4 => member("cmd", cmd.boxed()),
        4 => member("data", data.boxed()),
        1 => member("other", json().boxed()),
    ];
    vec(members, 0..5).prop_map(|members| format!("{{{}}}", members.join(" , ")))
}

/// What the two ways to read a request make of it, compared.
fn check_asked(frame: &str) -> Result<(), TestCaseError> {
    let plain = serde_json::from_str::<Request<'_>>(frame);
    let Ok(Asked { request, msg }) = Asked::read(frame) else {
        // A struct may be written as a list as well, which is no request.
        prop_assert!(plain.is_err() || frame.trim_start().starts_with('['), "{:?}", plain);
        return Ok(());
    };
    let plain = plain.map_err(|error| TestCaseError::fail(format!("{frame}: {error}")))?;
    prop_assert_eq!((&request.seq, &request.cmd), (&plain.seq, &plain.cmd));
    match msg {
        None => prop_assert_eq!(request.data.map(RawValue::get), plain.data.map(RawValue::get)),
        Some(msg) => {
            let params: Params = serde_json::from_str(plain.data.map_or("null", RawValue::get))
                .map_err(|error| TestCaseError::fail(format!("{frame}: {error}")))?;
            let conformed: Msg =
                params.conform(&[]).map_err(|why| TestCaseError::fail(format!("{frame}: {why}")))?;
            prop_assert_eq!(msg, conformed);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_the_same_however_they_are_cut(
        input in vec(any::<u8>(), 0..400),
        places in vec(any::<Index>(), 0..8),
    ) {
        check_read(&input, &places)?;
    }

    #[test]
    fn frames_are_read_the_same_however_they_are_cut(input in frames(), places in vec(any::<Index>(), 0..8)) {
        check_read(&input, &places)?;
    }

    #[test]
    fn a_request_is_read_as_serde_json_reads_it(frame in request()) {
        check_asked(&frame)?;
    }

    #[test]
    fn a_request_with_a_change_in_it_is_read_as_serde_json_reads_it(
        frame in request(),
        at in any::<Index>(),
        other in prop_oneof![any::<char>(), select("{}[]\",:\\u0null ".chars().collect::<Vec<_>>())],
    ) {
        let mut characters: Vec<char> = frame.chars().collect();
        *at.get_mut(&mut characters) = other;
        check_asked(&characters.into_iter().collect::<String>())?;
    }

    #[test]
    fn any_text_is_no_request_or_one(frame in prop_oneof!["\\PC{0,60}", json().prop_map(|json| json.to_string())]) {
        check_asked(&frame)?;
    }

    #[test]
    fn any_parameters_conform_or_are_refused(data in json()) {
        if let Ok(params) = serde_json::from_str::<Params>(&data.to_string()) {
            let _: Result<Msg, _> = params.conform(&[]);
        }
    }
}

#[test]
fn a_request_as_deep_as_it_is_long_is_refused_and_no_more() {
    for depth in [100, 1000, 100_000, 1_000_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let nested = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            for name in ["data", "other", "cmd"] {
                let _ = Asked::read(&format!(r#"{{"cmd":"msg","{name}":{nested}}}"#));
                let _ = Asked::read(&format!(r#"{{"cmd":"msg","{name}":{}"#, open.repeat(depth)));
            }
            let _: Result<Params, _> = serde_json::from_str(&nested);
        }
    }
}
