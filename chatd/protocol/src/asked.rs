//! A request as a connection sends it. Most are messages, and those are read in one pass from the frame to their type.
//!
//! Invariant: what is read as a message is what [`Params::conform`](crate::Params::conform) makes of the same frame.
//! Of whatever is not plainly right only the envelope is read; the longer way then says what is wrong.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::envelope::{Request, Text};
use crate::session::{MSG, Msg};

/// A request over WebSocket.
#[derive(Debug)]
pub struct Asked<'a> {
    /// The request; of a message that was read, `data` is none.
    pub request: Request<'a>,
    /// The parameters of a message that has nothing wrong or unknown in it and whose `cmd` comes before its `data`.
    pub msg: Option<Msg>,
}

impl<'a> Asked<'a> {
    /// Reads a frame.
    ///
    /// # Errors
    /// When it is no JSON, or no object with a `cmd`.
    pub fn read(frame: &'a str) -> Result<Self, serde_json::Error> {
        let read = |reads_messages| {
            let mut json = serde_json::Deserializer::from_str(frame);
            let asked = Envelope { reads_messages }.deserialize(&mut json)?;
            json.end().map(|()| asked)
        };
        // Again, so that what is wrong with a message is found in the order of its table.
        read(true).or_else(|_: serde_json::Error| read(false))
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Member {
    Seq,
    Cmd,
    Data,
    #[serde(other)]
    Unknown,
}

struct Envelope {
    /// Whether the parameters of messages are read, and not only found.
    reads_messages: bool,
}

impl<'de> DeserializeSeed<'de> for Envelope {
    type Value = Asked<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Asked<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Envelope {
    type Value = Asked<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Asked<'de>, A::Error> {
        let (mut seq, mut cmd, mut msg) = (None, None, None);
        let mut data: Option<Option<&RawValue>> = None;
        while let Some(member) = members.next_key()? {
            match member {
                Member::Seq if seq.is_none() => seq = Some(members.next_value::<Option<Text<'_>>>()?),
                Member::Cmd if cmd.is_none() => cmd = Some(members.next_value::<Text<'_>>()?.0),
                Member::Data if data.is_some() || msg.is_some() => {
                    return Err(A::Error::duplicate_field("data"));
                }
                Member::Data if self.reads_messages && cmd.as_deref() == Some(MSG) => {
                    msg = Some(members.next_value_seed(Plain)?)
                }
                Member::Data => data = Some(members.next_value()?),
                Member::Unknown => _ = members.next_value::<IgnoredAny>()?,
                Member::Seq => return Err(A::Error::duplicate_field("seq")),
                Member::Cmd => return Err(A::Error::duplicate_field("cmd")),
            }
        }
        let seq = seq.flatten().map(|text| text.0).unwrap_or_default();
        let cmd = cmd.ok_or_else(|| A::Error::missing_field("cmd"))?;
        Ok(Asked { request: Request { seq, cmd, data: data.flatten() }, msg })
    }
}

/// Reads a message from an object and from nothing else: a struct would be read from a list as well.
struct Plain;

impl<'de> DeserializeSeed<'de> for Plain {
    type Value = Msg;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Msg, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Plain {
    type Value = Msg;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of parameters")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Msg, A::Error> {
        Msg::deserialize(MapAccessDeserializer::new(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::{Kind, Parameters};
    use crate::{Params, Refusal};

    /// What the longer way makes of a frame.
    fn conformed(frame: &str) -> Result<Msg, Refusal> {
        let request: Request<'_> = serde_json::from_str(frame).unwrap();
        let params: Params = serde_json::from_str(request.data.map_or("null", RawValue::get)).unwrap();
        params.conform(&[])
    }

    #[test]
    fn a_message_is_read_in_one_pass_as_the_longer_way_reads_it() {
        for data in [
            r#"{"msg":"hello"}"#,
            r#"{ "target" : "user:b" , "msg":"\u9ec4\ud83d\ude00\n", "msgId":"m" }"#,
            r#"{"target":"group:g","type":"img","url":"u","secret":"s","size":{"width":4,"height":5}}"#,
            r#"{"target":null,"type":null,"msg":"x","url":null,"size":null,"msgId":null,"greeting":null}"#,
            r#"{"type":"no kind","size":"large"}"#,
            "{}",
        ] {
            for frame in [
                format!(r#"{{"seq":"s","cmd":"msg","data":{data}}}"#),
                format!(r#" {{"cmd":"\u006dsg","extra":[1,{{}}],"data":{data},"seq":"s"}} "#),
            ] {
                let asked = Asked::read(&frame).unwrap();
                let Request { seq, cmd, data } = asked.request;
                assert_eq!((&*seq, &*cmd, data.is_none()), ("s", MSG, true), "{frame}");
                assert_eq!(asked.msg, Some(conformed(&frame).unwrap()), "{frame}");
            }
        }
    }

    #[test]
    fn what_is_not_plainly_right_is_left_to_the_longer_way() {
        for data in [
            r#"["","text","x"]"#,
            r#"{"msg":"x","msg":"x"}"#,
            r#"{"msg":5}"#,
            r#"{"msg":"x","target":"nowhere"}"#,
            r#"{"msg":"x","msgId":""}"#,
            r#"{"msg":"x","msgID":"m"}"#,
            r#"{"msg":"x","greeting":"g"}"#,
            r#"{"msg":"x","other":1}"#,
            r#"{"msg":"\ud800"}"#,
        ] {
            let frame = format!(r#"{{"seq":"s","cmd":"msg","data":{data}}}"#);
            let Asked { request, msg } = Asked::read(&frame).unwrap();
            assert_eq!((request.data.map(RawValue::get), msg), (Some(data), None));
        }
        for (frame, has_data) in [
            (r#"{"data":{"msg":"x"},"cmd":"msg"}"#, true),
            (r#"{"cmd":"msg","data":null}"#, false),
            (r#"{"cmd":"ping","data":null}"#, false),
        ] {
            let asked = Asked::read(frame).unwrap();
            assert_eq!((asked.request.data.is_some(), asked.msg), (has_data, None), "{frame}");
        }
    }

    #[test]
    fn a_request_is_an_object_with_a_cmd_and_each_member_once() {
        for none in [
            "[]",
            r#"["s","ping"]"#,
            r#"{"seq":"s"}"#,
            r#"{"cmd":"ping","cmd":"ping"}"#,
            r#"{"seq":"s","seq":"s","cmd":"ping"}"#,
            r#"{"cmd":"msg","data":{"msg":"x"},"data":{"msg":"x"}}"#,
            r#"{"seq":5,"cmd":"ping"}"#,
            r#"{"cmd":"ping"} {}"#,
            r#"{"cmd":"msg","data":{"msg":"x"}"#,
        ] {
            assert!(Asked::read(none).is_err(), "{none}");
        }
    }

    /// Otherwise a message would be taken here that its table refuses.
    #[test]
    fn the_types_of_a_message_check_all_that_its_table_does() {
        for field in Msg::FIELDS {
            let by_type = [Kind::Target, Kind::Text, Kind::Json, Kind::MsgId, Kind::Reserved];
            assert!(by_type.contains(&field.kind) && !field.required, "{}", field.name);
        }
    }
}
