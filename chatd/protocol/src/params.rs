//! Parameters of an operation, from a query string, a form or JSON, checked against the operation's table.
//!
//! Invariant: after [`Params::check`] every listed parameter is absent or has its documented type, so that decoding into
//! the request type cannot fail on the shape of the input.

mod check;
mod field;
mod rule;

use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use self::check::check;
pub use self::field::{Field, Kind, MAX_U64, Parameter, Parameters, Reserved};
pub(crate) use self::field::{as_text, camel, camel_length, parameters};
pub use self::rule::Rule;
use crate::code::{Code, Refusal};

/// Parameters by name, as they were spelt.
#[derive(Debug, Clone, Default)]
pub struct Params {
    values: Map<String, Value>,
    /// Names given more than once. What no operation knows is passed over, however often it comes.
    repeated: Vec<String>,
}

/// Names, and how some clients spell them.
const SPELLINGS: [(&str, &str); 3] = [("appId", "appID"), ("userId", "userID"), ("msgId", "msgID")];

/// The name a spelling stands for: some clients write `appID`, `userID`, `msgID`.
#[must_use]
pub fn canonical_name(name: &str) -> &str {
    SPELLINGS.iter().find(|(_, other)| *other == name).map_or(name, |(canonical, _)| canonical)
}

/// The other spelling of a name that has two.
fn respelled(name: &str) -> Option<&'static str> {
    SPELLINGS.iter().find_map(|(canonical, other)| match name {
        _ if name == *canonical => Some(*other),
        _ if name == *other => Some(*canonical),
        _ => None,
    })
}

impl Params {
    /// Adds one parameter. The two spellings of a name may stand together when they have one value; a name that comes
    /// again is refused when the operation knows it.
    ///
    /// # Errors
    /// [`Code::BadParameter`] when its other spelling is there with another value.
    pub fn add(&mut self, name: &str, value: Value) -> Result<(), Refusal> {
        if self.values.contains_key(name) {
            self.repeated.push(name.to_owned());
            return Ok(());
        }
        match respelled(name).and_then(|other| self.values.get(other)) {
            Some(known) if same(known, &value) => Ok(()),
            Some(_) => {
                Err(Refusal::parameter(canonical_name(name), "given in two spellings with two values"))
            }
            None => {
                self.values.insert(name.to_owned(), value);
                Ok(())
            }
        }
    }

    /// What the caller gave, under either spelling; null is nothing.
    #[must_use]
    pub fn given(&self, name: &str) -> Option<&Value> {
        let mut spellings = [Some(name), respelled(name)].into_iter().flatten();
        spellings.find_map(|name| self.values.get(name).filter(|value| !value.is_null()))
    }

    /// Puts a value that overrides what the caller gave.
    pub fn set(&mut self, name: &str, value: Value) {
        if let Some(other) = respelled(name) {
            self.values.remove(other);
        }
        self.values.insert(name.to_owned(), value);
    }

    /// Puts a value where the caller gave none.
    pub fn set_default(&mut self, name: &str, value: Value) {
        if self.given(name).is_none() {
            self.set(name, value);
        }
    }

    /// Takes every parameter of `other`, which wins over what is here.
    pub fn override_with(&mut self, other: Params) {
        self.repeated.extend(other.repeated);
        for (name, value) in other.values {
            self.set(&name, value);
        }
    }

    /// The parameters of these fields, each of its type, once they and the rules over more than one are checked. Number
    /// texts of queries and forms are numbers then; what no field knows is left out.
    ///
    /// # Errors
    /// A refusal that names the first parameter that is missing or wrong.
    pub fn check(mut self, fields: &[Field], rules: &[Rule]) -> Result<Map<String, Value>, Refusal> {
        for (canonical, other) in SPELLINGS {
            if let Some(value) = self.values.remove(other) {
                self.values.insert(canonical.to_owned(), value);
            }
        }
        let mut known = Map::new();
        for field in fields {
            if self.repeated.iter().any(|name| canonical_name(name) == field.name) {
                return Err(Refusal::parameter(field.name, "given more than once"));
            }
            match self.values.remove(field.name) {
                None | Some(Value::Null) if field.required => {
                    return Err(Refusal::parameter(field.name, "missing"));
                }
                None | Some(Value::Null) => {}
                Some(mut value) => {
                    check(field, &mut value)?;
                    known.insert(field.name.to_owned(), value);
                }
            }
        }
        rules.iter().try_for_each(|rule| rule.check(&known))?;
        Ok(known)
    }

    /// Those of these fields that a record of who did what may hold, each of its type; what is wrong is left out.
    #[must_use]
    pub fn kept(&self, fields: &[Field]) -> Map<String, Value> {
        let right = |field: &Field| {
            let mut value = self.given(field.name)?.clone();
            check(field, &mut value).ok().map(|()| (field.name.to_owned(), value))
        };
        fields.iter().filter(|field| field.kind.is_kept()).filter_map(right).collect()
    }

    /// The request that these parameters are, as [`Params::check`] leaves them.
    ///
    /// # Errors
    /// As [`Params::check`].
    pub fn conform<T: Parameters>(self, rules: &[Rule]) -> Result<T, Refusal> {
        let known = self.check(T::FIELDS, rules)?;
        serde_json::from_value(Value::Object(known))
            .map_err(|error| Refusal::new(Code::BadParameter, error.to_string()))
    }
}

/// Members of a JSON object, or none from null. A known name that stands twice is refused later, because whoever looked
/// at the request on its way here may have read the other value.
impl<'de> Deserialize<'de> for Params {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Params;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of parameters")
            }

            fn visit_unit<E>(self) -> Result<Params, E> {
                Ok(Params::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Params, A::Error> {
                let mut params = Params::default();
                while let Some((name, value)) = members.next_entry::<String, Value>()? {
                    params.add(&name, value).map_err(|refusal| A::Error::custom(refusal.reason))?;
                }
                Ok(params)
            }
        }
        deserializer.deserialize_any(Members)
    }
}

/// A number and its text are one value: queries and forms know texts only.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(text), Value::Number(number)) | (Value::Number(number), Value::String(text)) => {
            *text == number.to_string()
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::UserId;
    use serde_json::json;

    parameters! {
        /// For the tests.
        pub struct Request {
            /// An app.
            pub app_id: u32,
            /// A user.
            pub user_id: UserId,
            /// At most so many.
            pub limit: Option<u32>,
        }
    }

    impl Params {
        fn conform_here(self) -> Result<Request, Refusal> {
            self.conform(&[])
        }
    }

    fn conform(value: Value) -> Result<Request, Refusal> {
        read(&value.to_string())?.conform(&[])
    }

    fn read(json: &str) -> Result<Params, Refusal> {
        serde_json::from_str(json).map_err(|error| Refusal::new(Code::BadParameter, error.to_string()))
    }

    #[test]
    fn a_default_stands_where_no_spelling_has_a_value() {
        for (given, then) in [("{}", "b"), (r#"{"userId":null}"#, "b"), (r#"{"userID":null}"#, "b")] {
            let mut params = read(given).unwrap();
            params.set("appId", 1.into());
            params.set_default("userId", "b".into());
            assert_eq!(params.conform_here().unwrap().user_id.as_str(), then, "{given}");
        }
        for given in [r#"{"appID":1,"userId":"a"}"#, r#"{"appID":1,"userID":"a"}"#] {
            let mut params = read(given).unwrap();
            params.set_default("userId", "b".into());
            assert_eq!(params.conform_here().unwrap().user_id.as_str(), "a", "{given}");
        }
    }

    #[test]
    fn both_spellings_and_number_texts_are_taken() {
        assert_eq!(conform(json!({"appId": 101.0, "userId": "a"})).unwrap().app_id, 101);
        let request = conform(json!({"appID": "101", "userID": "黄帝", "limit": null})).unwrap();
        assert_eq!((request.app_id, request.user_id.as_str(), request.limit), (101, "黄帝", None));
    }

    #[test]
    fn a_refusal_names_the_parameter() {
        for (input, name) in [
            (json!({"userId": "a"}), "appId"),
            (json!({"appId": -1, "userId": "a"}), "appId"),
            (json!({"appId": 4294967296u64, "userId": "a"}), "appId"),
            (json!({"appId": 1.5, "userId": "a"}), "appId"),
            (json!({"appId": "+1", "userId": "a"}), "appId"),
            (json!({"appId": "", "userId": "a"}), "appId"),
            (json!({"appId": [1], "userId": "a"}), "appId"),
            (json!({"appId": 1}), "userId"),
            (json!({"appId": 1, "userId": 5}), "userId"),
            (json!({"appId": 1, "userId": "a", "limit": "x"}), "limit"),
            (json!({"appId": 1, "appID": 2, "userId": "a"}), "appId"),
        ] {
            let refusal = conform(input.clone()).unwrap_err();
            assert_eq!(refusal.code, Code::BadParameter, "{input}");
            assert!(refusal.reason.starts_with(&format!("{name}:")), "{input}: {}", refusal.reason);
        }
        for bad in [json!(""), json!("a\u{1}"), json!("x".repeat(65))] {
            let refusal = conform(json!({"appId": 1, "userId": bad})).unwrap_err();
            assert_eq!(refusal.code, Code::BadUserId);
        }
        assert_eq!(conform(json!([1])).unwrap_err().code, Code::BadParameter);
    }

    #[test]
    fn two_spellings_of_a_name_are_one_parameter_with_one_value() {
        for both in [
            json!({"appId": 101, "appID": 101, "userId": "a", "userID": "a"}),
            json!({"appId": 101, "appID": "101", "userID": "a"}),
        ] {
            let request = conform(both).unwrap();
            assert_eq!((request.app_id, request.user_id.as_str()), (101, "a"));
        }
        for two in [
            json!({"appId": 101, "appID": 102, "userId": "a"}),
            json!({"appId": 101, "userId": "a", "userID": "b"}),
        ] {
            let refusal = conform(two).unwrap_err();
            assert!(refusal.reason.contains(": given in two spellings with two values"), "{refusal}");
        }
        let mut params = read(r#"{"appID":1,"userID":"a"}"#).unwrap();
        params.override_with(read(r#"{"appId":2}"#).unwrap());
        params.set("userId", "b".into());
        let request: Request = params.conform(&[]).unwrap();
        assert_eq!((request.app_id, request.user_id.as_str()), (2, "b"));
    }

    #[test]
    fn a_name_stands_once() {
        let rest = r#""appId":1,"userId":"a","#;
        for twice in [
            format!(r#"{{{rest}"limit":1,"limit":2}}"#),
            format!(r#"{{{rest}"limit":1,"x":{{}},"limit":1}}"#),
            r#"{"userId":"a","appId":1,"appId":1}"#.to_owned(),
            r#"{"userId":"a","appID":1,"appID":1}"#.to_owned(),
        ] {
            let refusal = read(&twice).and_then(Params::conform_here).unwrap_err();
            assert!(refusal.reason.contains(": given more than once"), "{twice}: {}", refusal.reason);
        }
        let unknown = format!(r#"{{{rest}"x":1,"x":2,"x":[]}}"#);
        assert!(read(&unknown).and_then(Params::conform_here).is_ok());
        assert!(read("null").unwrap().values.is_empty());
    }
}
