//! Parameters over HTTP in every form that there is: the same values come out, and whatever is none is refused.
//!
//! Invariant: nothing here needs a server; `PROPTEST_CASES` says how many cases there are (256 without it).

use std::collections::BTreeMap;

use chat_protocol::{Code, Params, Refusal};
use chatd::http::decode::params;
use http::request::Parts;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value;

const MAX: usize = 4096;
const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";
const PARTED: &str = "multipart/form-data; boundary=b0undary";

fn parts(query: &str, content_type: &str) -> Option<Parts> {
    let request =
        http::Request::post(format!("/?{query}")).header("content-type", content_type).body(()).ok()?;
    Some(request.into_parts().0)
}

fn decode(parts: &Parts, body: Vec<u8>) -> Result<Params, Refusal> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(params(parts, body.into(), MAX))
}

/// Each byte escaped or not, as the case wants it, where it may be either.
fn escaped(text: &str, plainly: bool) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' if plainly => char::from(byte).to_string(),
        b' ' if plainly => "+".to_owned(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

fn pairs(values: &BTreeMap<String, String>, plainly: bool) -> String {
    let pair =
        |(name, value): (&String, &String)| format!("{}={}", escaped(name, plainly), escaped(value, plainly));
    values.iter().map(pair).collect::<Vec<_>>().join("&")
}

fn parted(values: &BTreeMap<String, String>) -> String {
    let part = |(name, value): (&String, &String)| {
        format!("--b0undary\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    values.iter().map(part).collect::<String>() + "--b0undary--\r\n"
}

fn check_same(read: Result<Params, Refusal>, values: &BTreeMap<String, String>) -> Result<(), TestCaseError> {
    let read = read.map_err(|why| TestCaseError::fail(why.to_string()))?;
    for (name, value) in values {
        prop_assert_eq!(read.given(name), Some(&Value::from(value.as_str())), "{}", name);
    }
    Ok(())
}

fn check_refused(read: Result<Params, Refusal>) -> Result<(), TestCaseError> {
    if let Err(refusal) = read {
        prop_assert!([Code::BadParameter, Code::TooLarge].contains(&refusal.code), "{}", refusal);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_values_come_out_of_a_query_a_form_json_and_parts(
        values in btree_map("[b-z][a-zA-Z0-9]{0,7}", "[\\PC\r\n\t]{0,20}", 0..6),
        plainly in any::<bool>(),
    ) {
        let query = parts(&pairs(&values, plainly), FORM).expect("a query");
        check_same(decode(&query, Vec::new()), &values)?;
        let bodies = [
            (FORM, pairs(&values, plainly)),
            (JSON, serde_json::to_string(&values).expect("JSON")),
            (PARTED, parted(&values)),
        ];
        for (content_type, body) in bodies {
            check_same(decode(&parts("", content_type).expect("parts"), body.into_bytes()), &values)?;
        }
    }

    #[test]
    fn any_body_is_read_or_refused(
        body in vec(any::<u8>(), 0..600),
        content_type in prop_oneof![select(vec![FORM, JSON, PARTED, "", "text/plain"]).prop_map(str::to_owned), "[ -~]{0,40}"],
    ) {
        if let Some(parts) = parts("", &content_type) {
            check_refused(decode(&parts, body))?;
        }
    }

    #[test]
    fn a_changed_body_is_read_or_refused(
        values in btree_map("[b-z][a-z]{0,4}", "\\PC{0,12}", 1..5),
        changes in vec((any::<Index>(), any::<u8>()), 0..6),
        until in any::<Index>(),
        kind in 0..3_usize,
    ) {
        let (content_type, body) =
            [(FORM, pairs(&values, false)), (JSON, serde_json::to_string(&values).expect("JSON")), (PARTED, parted(&values))]
                [kind].clone();
        let mut body = body.into_bytes();
        changes.into_iter().for_each(|(at, byte)| *at.get_mut(&mut body) = byte);
        body.truncate(until.index(body.len() + 1));
        check_refused(decode(&parts("", content_type).expect("parts"), body))?;
    }

    #[test]
    fn any_query_is_read_or_refused(query in "[!-~]{0,80}") {
        if let Some(parts) = parts(&query.replace('#', "%"), FORM) {
            check_refused(decode(&parts, Vec::new()))?;
        }
    }

    #[test]
    fn what_is_too_large_is_refused_whatever_it_is(content_type in select(vec![FORM, JSON, PARTED]), more in 1..4000_usize) {
        let refused = decode(&parts("", content_type).expect("parts"), vec![b'x'; MAX + more]);
        prop_assert_eq!(refused.map(|_| ()).map_err(|refusal| refusal.code), Err(Code::TooLarge));
    }
}
