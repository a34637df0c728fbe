//! `chatctl send`: a message to one user, now or for later, or to many by [`super::bulk`].
//!
//! Invariant: the message always carries an id, so that repeating the command with it never delivers twice.

use std::ffi::OsString;

use chat_protocol::user::{SendMessage, SendMessageRequest, SendMessageResponse};
use chat_protocol::{MsgId, UserId};

use crate::command::{bulk, message_id};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::report::Report;

const EXAMPLES: &str = "\
@FILE and - lose one newline at the end. A text that begins with @ is written
with two (@@all); before one that begins with - stands --.
The message comes from \"system\", or from the user named with --as.
Exit code 0: delivered, or stored for a user who is offline. The output tells
which, and the id of the message; -o json has it as \"sendResults\".

To many: each line is told with what became of it, then a summary on stderr.
Exit code 3 when part of them was not sent; the same line with --batch ID, which
is printed then, sends only that. With --journal FILE nothing needs to be given:
the same line again goes on where it was. A server that cannot be reached, or
that does not accept the key, stops the batch.

Examples:
  chatctl --app 101 send 黄帝 'hello'
  chatctl --app 101 --as 马超 send 黄帝 @letter.txt
  date | chatctl --app 101 send 黄帝 -
  chatctl --app 101 send 黄帝 'paid' --msg-id order-4711   # repeat at will
  chatctl --app 101 list -o name | chatctl --app 101 send --to - 'back at six'
  chatctl --app 101 send --from-file bills.csv --rate 500 --journal bills.journal
  generate | chatctl --app 101 send --from-file - -o jsonl > results.jsonl";

/// Arguments of `send`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, override_usage = USAGE)]
pub struct Args {
    /// Who gets it
    #[arg(value_name = "USER", required_unless_present = "from_file", conflicts_with = "from_file")]
    user: Option<OsString>,
    /// The message, - for standard input, or @FILE
    #[arg(value_name = "TEXT|-|@FILE", required_unless_present_any = ["to", "from_file"], conflicts_with_all = ["to", "from_file"])]
    text: Option<OsString>,
    /// Your own id for the message: a repeat with the same id is not delivered again
    #[arg(long, value_name = "ID", conflicts_with_all = ["to", "from_file"])]
    msg_id: Option<MsgId>,
    /// To many.
    #[command(flatten)]
    many: bulk::Args,
}

const USAGE: &str = "\
chatctl send [OPTIONS] <USER> <TEXT|-|@FILE>
       chatctl send [OPTIONS] --to <-|@FILE> <TEXT|@FILE>
       chatctl send [OPTIONS] --from-file <FILE|->";

/// Runs the command.
pub async fn run(args: Args, operator: &Operator) -> Result<Exit, Failure> {
    let app_id = operator.settings.app()?;
    if args.many.is_asked() {
        // Where names are given, the only word on the line is the text.
        let text = match &args.user {
            Some(text) if text == "-" => {
                let next = "give the text on the line, or as @FILE";
                return Err(Failure::usage("names and text cannot both come from standard input", next));
            }
            Some(text) => Some(operator.read_text(text).await?),
            None => None,
        };
        return bulk::run(args.many, text, operator).await;
    }
    let user_id = recipient(args.user.as_ref())?;
    let message = operator.read_text(&args.text.unwrap_or_default()).await?;
    let msg_id = message_id::given_or_new(args.msg_id)?;
    let from = operator.settings.acting.clone();
    let request =
        SendMessageRequest { app_id, user_id, message, msg_id: Some(msg_id.clone()), from, kind: None };
    if operator.settings.dry_run {
        return operator.rehearse(&[operator.rehearsed::<SendMessage>(&request)]);
    }
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

fn recipient(user: Option<&OsString>) -> Result<UserId, Failure> {
    let bad = |why: String| Failure::usage(format!("USER: {why}"), "name who gets the message");
    let name = user.and_then(|name| name.to_str()).ok_or_else(|| bad("not valid UTF-8".to_owned()))?;
    name.parse().map_err(|error: chat_protocol::id::IdError| bad(error.to_string()))
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
    words += &format!(" (message {})", sent.msg_id);
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
