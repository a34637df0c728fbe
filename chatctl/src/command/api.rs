//! `chatctl api`: any operation by its path, with parameters as `key=value`; with a method, any path at all.
//!
//! Invariant: parameters of an operation are checked against the operation's own table before anything is sent; an operation that
//! takes a message id gets one.

use chat_client::escape::escape_lines;
use chat_protocol::Refusal;
use chat_protocol::operation::{APP, Description, Effect};
use chat_protocol::params::{Kind, Params, canonical_name};
use chat_protocol::route::Admission;
use chat_protocol::table::{ALL, route};
use serde_json::Value;

use crate::command::message_id;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::operator::{Operator, Rehearsed};
use crate::report::Report;
use crate::settings::Settings;

const EXAMPLES: &str = "\
Without a path the operations are listed. --app gives appId and --as the acting
user, unless they are among the parameters. JSON parameters are read as JSON. An
operation is asked for by POST unless a METHOD stands before its path; with one,
paths that are no operation are asked for as well, and what they answer is
printed.

Examples:
  chatctl api
  chatctl api /system/state
  chatctl --app 101 api /user/online userId=黄帝
  chatctl api /user/sendMessage appId=101 userId=黄帝 message='hello' from=马超
  chatctl --app 101 api GET /user/list limit=5
  chatctl api GET /readyz
  chatctl api GET /metrics | grep chatd_connections
  chatctl --app 101 --curl api /user/list          # the same for curl";

/// Arguments of `api`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Path of the operation, such as /user/list, with a method before it if you like; none to list them
    #[arg(value_name = "[METHOD] PATH")]
    path: Option<String>,
    /// Parameters
    #[arg(value_name = "key=value")]
    parameters: Vec<String>,
}

/// Methods that may stand before a path.
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"];

/// Runs the command.
pub async fn run(args: Args, operator: &Operator) -> Result<Exit, Failure> {
    let Some(path) = args.path else {
        operator.print(&table_of_operations())?;
        return Ok(Exit::Done);
    };
    if let Some(method) = METHODS.into_iter().find(|method| method.eq_ignore_ascii_case(&path)) {
        let mut rest = args.parameters.into_iter();
        let path = rest.next().ok_or_else(|| {
            Failure::usage(
                format!("{method} wants a path"),
                format!("for example: chatctl api {method} /livez"),
            )
        })?;
        return by_method(method, &path, &rest.collect::<Vec<_>>(), operator).await;
    }
    let operation = find(&path)?;
    let request = request(operation, &args.parameters, &operator.settings)?;
    if operator.settings.dry_run {
        return operator.rehearse(&[operator.rehearsed_raw(operation.path, &request)]);
    }
    let key = operation.key.and_then(|key| Some(format!("{key}={}", request.get(key)?.as_str()?)));
    if let Some(key) = key {
        operator.doubt.repeatable_with(key);
    }
    let http = operator.http()?;
    let ask = || http.call_raw(operation.path, &request);
    let answer = operator.insist(operation.path, operation.effect, ask).await?;
    operator.print(&Report::of_value(answer))?;
    Ok(Exit::Done)
}

/// Asks for a path by a method of HTTP and shows what comes back.
async fn by_method(
    method: &'static str,
    path: &str,
    pairs: &[String],
    operator: &Operator,
) -> Result<Exit, Failure> {
    let known = find(path).ok();
    let (path, request) = match known {
        Some(operation) => (operation.path.to_owned(), request(operation, pairs, &operator.settings)?),
        None => (format!("/{}", path.trim_start_matches('/')), as_texts(pairs)?),
    };
    let has_body = method == "POST" || method == "PUT";
    if operator.settings.dry_run {
        let mut url = operator.settings.server.url(&path);
        for (name, value) in request.as_object().into_iter().flatten().filter(|_| !has_body) {
            let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
            url.query_pairs_mut().append_pair(name, &text);
        }
        let body = if has_body { request } else { Value::Null };
        return operator.rehearse(&[Rehearsed { method, url: url.into(), body }]);
    }
    // What is not known to read may change something.
    let effect = match (known, method) {
        (Some(operation), _) => operation.effect,
        (None, "GET" | "HEAD" | "OPTIONS") => Effect::Reads,
        (None, _) => Effect::Changes,
    };
    let http = operator.http()?;
    let (status, body) = operator.insist(&path, effect, || http.ask(method, &path, &request)).await?;
    match serde_json::from_slice::<Value>(&body) {
        Ok(answer) if answer.get("code").is_some() && answer.get("msg").is_some() => {
            operator.print(&Report::of_value(http.understood(status, &body)?))?;
        }
        Ok(answer) if status < 400 => operator.print(&Report::of_value(answer))?,
        _ => {
            let text = String::from_utf8_lossy(&body);
            let is_seen = operator.console.look().columns.is_some();
            operator.console.data(&if is_seen { escape_lines(&text) } else { text.into_owned() })?;
        }
    }
    match status {
        ..400 => Ok(Exit::Done),
        404 => Err(Failure::Missing(format!("HTTP status 404 at {path}"))),
        _ => Err(Failure::Undone(format!("HTTP status {status} at {path}"))),
    }
}

/// Parameters of a path of which nothing is known.
fn as_texts(pairs: &[String]) -> Result<Value, Failure> {
    let pair = |pair: &String| {
        let (name, text) = pair.split_once('=').ok_or_else(|| no_parameter(pair))?;
        Ok((name.to_owned(), Value::from(text)))
    };
    pairs.iter().map(pair).collect::<Result<_, _>>().map(Value::Object)
}

fn no_parameter(pair: &str) -> Failure {
    Failure::usage(format!("{pair:?} is no parameter"), "write key=value")
}

fn find(path: &str) -> Result<&'static Description, Failure> {
    let wanted = path.trim_start_matches('/');
    ALL.iter().find(|operation| operation.path.trim_start_matches('/') == wanted).ok_or_else(|| {
        if let Some(route) = route(&format!("/{wanted}")) {
            let next = match (route.body, route.admission) {
                (None, Admission::Open | Admission::Rights(_)) => {
                    format!("give its method: chatctl api GET /{wanted}")
                }
                _ => format!("its bytes are for chatctl {}", super::asking(route.place)),
            };
            return Failure::usage(format!("{path} is no operation"), next);
        }
        let known: Vec<_> = ALL.iter().map(|operation| format!("  {}", operation.path)).collect();
        Failure::usage(format!("no operation {path}"), format!("there are:\n{}", known.join("\n")))
    })
}

fn table_of_operations() -> Report {
    let rows = ALL.iter().map(|operation| {
        let names = operation.fields.iter().map(|field| match field.required {
            true => field.name.to_owned(),
            false => format!("[{}]", field.name),
        });
        let names = names.collect::<Vec<_>>().join(" ");
        vec![operation.path.into(), names.into()]
    });
    Report::list(&[("path", "PATH"), ("parameters", "PARAMETERS")], rows.collect())
}

fn request(operation: &Description, pairs: &[String], settings: &Settings) -> Result<Value, Failure> {
    let mut given: Vec<(&str, Value)> = Vec::new();
    for pair in pairs {
        let (name, text) = pair.split_once('=').ok_or_else(|| no_parameter(pair))?;
        given.push((canonical_name(name), value(operation, canonical_name(name), text)?));
    }
    let is_open = |name: &str| {
        operation.fields.iter().any(|field| field.name == name)
            && given.iter().all(|(known, _)| *known != name)
    };
    let mut implied: Vec<(&str, Value)> = Vec::new();
    if let Some(app) = settings.app_if_named().filter(|_| is_open(APP)) {
        implied.push((APP, app.into()));
    }
    let actor = operation.rights.actor().filter(|actor| is_open(actor));
    if let (Some(actor), Some(user)) = (actor, &settings.acting) {
        implied.push((actor, user.as_str().into()));
    }
    if let Some(key) = operation.key.filter(|key| is_open(key)) {
        implied.push((key, message_id::given_or_new(None)?.as_str().into()));
    }
    let refused = |refusal: Refusal| Failure::usage(refusal.reason, takes(operation));
    let mut params = Params::default();
    for (name, value) in given.into_iter().chain(implied) {
        params.add(name, value).map_err(refused)?;
    }
    params.check(operation.fields, operation.rules).map(Value::Object).map_err(refused)
}

fn value(operation: &Description, name: &str, text: &str) -> Result<Value, Failure> {
    let Some(field) = operation.fields.iter().find(|field| field.name == name) else {
        return Err(Failure::usage(format!("{} has no parameter {name}", operation.path), takes(operation)));
    };
    match field.kind {
        Kind::Json => serde_json::from_str(text)
            .map_err(|error| Failure::usage(format!("{name} is not JSON: {error}"), takes(operation))),
        _ => Ok(text.into()),
    }
}

fn takes(operation: &Description) -> String {
    if operation.fields.is_empty() {
        return format!("{} takes no parameters", operation.path);
    }
    let width = operation.fields.iter().map(|field| field.name.len()).max().unwrap_or(0);
    let line = |field: &chat_protocol::params::Field| {
        let need = if field.required { "" } else { " (optional)" };
        format!("  {:width$}  {}{need}", field.name, field.about)
    };
    let lines: Vec<_> = operation.fields.iter().map(line).collect();
    format!("{} takes:\n{}\n--app gives {APP} too", operation.path, lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Cli;
    use clap::Parser;
    use serde_json::json;

    fn ask(path: &str, flags: &[&str], pairs: &[&str]) -> Result<Value, Failure> {
        let cli = Cli::try_parse_from([&["chatctl", "api"], flags].concat()).unwrap();
        let settings = Settings::resolve(&cli.flags, &|_| None)?;
        let pairs: Vec<String> = pairs.iter().map(ToString::to_string).collect();
        request(find(path)?, &pairs, &settings)
    }

    #[test]
    fn flags_fill_what_is_not_given() {
        let by_flag = ask("/user/online", &["--app", "5"], &["userID=黄=帝"]).unwrap();
        assert_eq!(by_flag, json!({"appId": 5, "userId": "黄=帝"}));
        let by_pair = ask("user/online", &["--app", "5"], &["userId=a", "appID=6"]).unwrap();
        assert_eq!(by_pair["appId"], 6);
    }

    #[test]
    fn the_acting_user_and_the_message_id_are_filled_in() {
        let flags = ["--app", "5", "--as", "马超"];
        let one = ask("/user/sendMessage", &flags, &["userId=a", "message=x"]).unwrap();
        assert_eq!((&one["from"], one["msgId"].as_str().map(str::len)), (&json!("马超"), Some(36)));
        let all = ask("/user/sendMessageAll", &flags, &["message=x", "msgId=m"]).unwrap();
        assert_eq!((&all["userId"], &all["msgId"]), (&json!("马超"), &json!("m")));
    }

    #[test]
    fn what_the_operation_does_not_take_is_refused() {
        for (path, pairs, cause) in [
            ("/user/lsit", &[][..], "no operation /user/lsit"),
            ("readyz", &[], "readyz is no operation"),
            ("/file/upload", &[], "/file/upload is no operation"),
            ("/user/list", &[], "appId: missing"),
            ("/user/list", &["appId=1", "x=2"], "/user/list has no parameter x"),
            ("/user/list", &["appId=1", "appID=2"], "appId: given more than once"),
            ("/user/list", &["appId=1", "limit"], "\"limit\" is no parameter"),
            ("/user/online", &["appId=1", "userId="], "userId: must not be empty"),
        ] {
            let failure = ask(path, &[], pairs).unwrap_err();
            assert_eq!((failure.to_string().as_str(), failure.exit()), (cause, Exit::Usage));
            assert!(failure.next_step().is_some());
        }
    }
}
