//! The requests a load client sends over WebSocket.
//!
//! Invariant: the name of a message's request names the run, the sender and the number, so its answer does too.

use chat_protocol::session::{HEARTBEAT, LOGIN, Login, MSG, Position};
use chat_protocol::{AppId, UserId};

/// A log-in, with the key where one is asked for, and with the last known position of a conversation whose missed messages are wanted.
pub fn login(user_id: &UserId, app_id: AppId, token: Option<&str>, recover: Option<Position>) -> String {
    let recover = recover.map(|position| vec![position]);
    let token = token.map(str::to_owned);
    let data = Login { token, recover, ..Login::new(user_id.clone(), app_id) };
    serde_json::json!({"seq": LOGIN, "cmd": LOGIN, "data": data}).to_string()
}

/// A sign of life.
pub fn heartbeat() -> String {
    format!(r#"{{"seq":"{HEARTBEAT}","cmd":"{HEARTBEAT}","data":{{}}}}"#)
}

/// A message. `id` and `target` hold nothing that JSON would escape, nor does the text that `payload` appends.
pub fn message(id: &str, target: &str, payload: impl FnOnce(&mut String)) -> String {
    let mut frame = format!(r#"{{"seq":"{id}","cmd":"{MSG}","data":{{"target":"{target}","msg":""#);
    payload(&mut frame);
    frame.push_str(r#""}}"#);
    frame
}

/// The name of a message's request, which is also the message's id.
pub fn message_id(run: &str, sender: u32, sequence: u32) -> String {
    format!("{run}-{sender}-{sequence}")
}

/// The number in a name that [`message_id`] gave to a message of `sender`.
pub fn sequence_of(name: &str, run: &str, sender: u32) -> Option<u32> {
    let (from, sequence) = name.strip_prefix(run)?.strip_prefix('-')?.split_once('-')?;
    (from.parse() == Ok(sender)).then(|| sequence.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_protocol::envelope::Request;
    use chat_protocol::session::Msg;

    #[test]
    fn requests_read_as_the_protocol_says() {
        let user = UserId::new("bench-1").unwrap();
        let frame = login(&user, 101, None, None);
        let request: Request<'_> = serde_json::from_str(&frame).unwrap();
        let login: Login = serde_json::from_str(request.data.unwrap().get()).unwrap();
        assert_eq!((request.cmd.as_ref(), login.user_id, login.app_id), (LOGIN, user, 101));

        let frame = message("r-1-2", "user:bench-1", |text| text.push_str("hello"));
        let request: Request<'_> = serde_json::from_str(&frame).unwrap();
        let msg: Msg = serde_json::from_str(request.data.unwrap().get()).unwrap();
        assert_eq!((request.seq.as_ref(), request.cmd.as_ref()), ("r-1-2", MSG));
        assert_eq!(msg.target.map(|target| target.to_string()).as_deref(), Some("user:bench-1"));
        assert_eq!(msg.msg.as_deref(), Some("hello"));
        assert!(serde_json::from_str::<Request<'_>>(&heartbeat()).is_ok());
    }

    #[test]
    fn a_name_gives_its_number_back_to_its_sender_only() {
        let name = message_id("00ff", 3, 14);
        assert_eq!(sequence_of(&name, "00ff", 3), Some(14));
        assert_eq!(sequence_of(&name, "00ff", 4), None);
        assert_eq!(sequence_of(&name, "11ff", 3), None);
        assert_eq!(sequence_of("heartbeat", "00ff", 3), None);
    }
}
