//! `chatctl broadcast`: a message to everyone in an app except its sender.
//!
//! Invariant: the message always carries an id, so that repeating the command with it never delivers twice.

use std::ffi::OsString;

use chat_protocol::user::{SendMessageAll, SendMessageAllRequest, SendMessageAllResponse};
use chat_protocol::{MsgId, UserId};

use crate::command::{list, message_id};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::report::Report;

const EXAMPLES: &str = "\
@FILE and - lose one newline at the end. A text that begins with @ is written
with two (@@all); before one that begins with - stands --.
The sender gets no copy. --as USER names the sender too. At a terminal it asks
first and says how many are online; -y answers yes.
The output tells the id of the message: a repeat with --msg-id delivers nothing
again.

Examples:
  chatctl --app 101 broadcast --from 系统 'back in five minutes'
  chatctl --app 101 broadcast --from 系统 @notice.txt
  fortune | chatctl --app 101 broadcast --from 系统 -";

/// Arguments of `broadcast`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The sender, who gets no copy
    #[arg(long, value_name = "USER")]
    from: Option<UserId>,
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
    let Some(user_id) = args.from.or_else(|| operator.settings.acting.clone()) else {
        return Err(Failure::usage(
            "this command needs a sender",
            "give --from USER or --as USER, or set CHATCTL_AS",
        ));
    };
    let message = operator.read_text(&args.text).await?;
    let msg_id = message_id::given_or_new(args.msg_id)?;
    let request = SendMessageAllRequest { app_id, user_id, msg_id: msg_id.clone(), message, kind: None };
    if operator.settings.dry_run {
        return operator.rehearse(&[operator.rehearsed::<SendMessageAll>(&request)]);
    }
    let http = operator.http()?;
    if operator.asks_a_person() {
        let online = list::count_online(app_id, operator, &http).await?;
        operator.confirm(&format!("send it to everyone in app {app_id} ({online} online now)?")).await?;
    }
    operator.doubt.repeatable_with(format!("--msg-id {msg_id}"));
    let sent = operator.call::<SendMessageAll>(&http, &request).await?;
    operator.print(&report(&request, &sent))?;
    if sent.send_results {
        Ok(Exit::Done)
    } else {
        Err(Failure::Undone("the server did not send the message".to_owned()))
    }
}

fn report(request: &SendMessageAllRequest, sent: &SendMessageAllResponse) -> Report {
    let (app_id, from) = (request.app_id, &request.user_id);
    let id = &sent.msg_id;
    let words = match (sent.send_results, sent.duplicate) {
        (true, false) => format!("sent to everyone in app {app_id} except {from} (message {id})"),
        (true, true) => {
            format!("already sent to everyone in app {app_id} except {from} (message {id}); not sent again")
        }
        (false, _) => format!("not sent to app {app_id}"),
    };
    Report::record([
        ("msgId", "message", sent.msg_id.as_str().into()),
        ("sendResults", "sent", sent.send_results.into()),
        ("offset", "offset", sent.offset.into()),
        ("duplicate", "duplicate", sent.duplicate.into()),
    ])
    .in_words(vec![words])
}
