//! `chatctl send`: a message to one user, now or for later.
//!
//! Invariant: the message always carries an id, so that repeating the command with it never delivers twice.

use std::ffi::OsString;

use chat_protocol::user::{SendMessage, SendMessageRequest, SendMessageResponse};
use chat_protocol::{MsgId, UserId};

use crate::command::message_id;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::report::Report;

const EXAMPLES: &str = "\
@FILE and - lose one newline at the end. A text that begins with @ is written
with two (@@all); before one that begins with - stands --.
The message comes from \"system\", or from the user named with --as.
Exit code 0: delivered, or stored for a user who is offline. The output tells
which; -o json has it as \"sendResults\".

Examples:
  chatctl --app 101 send 黄帝 'hello'
  chatctl --app 101 --as 马超 send 黄帝 @letter.txt
  date | chatctl --app 101 send 黄帝 -
  chatctl --app 101 send 黄帝 'paid' --msg-id order-4711   # repeat at will";

/// Arguments of `send`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Who gets it
    #[arg(value_name = "USER")]
    user: UserId,
    /// The message, - for standard input, or @FILE
    #[arg(value_name = "TEXT|-|@FILE")]
    text: OsString,
    /// Your own id for the message: a repeat with the same id is not delivered again
    #[arg(long, value_name = "ID")]
    msg_id: Option<MsgId>,
}

/// Runs the command.
pub async fn run(args: Args, operator: &Operator) -> Result<Exit, Failure> {
    let app_id = operator.settings.app()?;
    let message = operator.read_text(&args.text).await?;
    let msg_id = message_id::given_or_new(args.msg_id)?;
    let from = operator.settings.acting.clone();
    let request = SendMessageRequest {
        app_id,
        user_id: args.user,
        message,
        msg_id: Some(msg_id.clone()),
        from,
        kind: None,
    };
    if operator.settings.dry_run {
        return operator.rehearse(&[operator.rehearsed::<SendMessage>(&request)]);
    }
    operator.console.detail(&format!("msgId {msg_id}"));
    operator.doubt.repeatable_with(format!("--msg-id {msg_id}"));
    let http = operator.http()?;
    let sent = operator.call::<SendMessage>(&http, &request).await?;
    operator.print(&report(&request.user_id, &sent))?;
    if sent.send_results || sent.stored {
        Ok(Exit::Done)
    } else {
        Err(Failure::Undone(format!("{} is offline and the message was not stored", request.user_id)))
    }
}

fn report(to: &UserId, sent: &SendMessageResponse) -> Report {
    let mut words = match (sent.send_results, sent.stored) {
        (true, _) => format!("delivered to {to}"),
        (false, true) => format!("stored for {to}, who is offline"),
        (false, false) => format!("not sent to {to}"),
    };
    if sent.duplicate {
        words = format!("already {words}; not sent again");
    }
    Report::record([
        ("msgId", "message", sent.msg_id.as_str().into()),
        ("userId", "to", to.as_str().into()),
        ("sendResults", "delivered", sent.send_results.into()),
        ("stored", "stored", sent.stored.into()),
        ("offset", "offset", sent.offset.into()),
        ("duplicate", "duplicate", sent.duplicate.into()),
    ])
    .in_words(vec![words])
}
