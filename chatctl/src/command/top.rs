//! `chatctl top`: what all nodes do, as they tell it themselves, again and again, on the whole screen or, where there is
//! none, as tables.
//!
//! [`gather`] asks every live node for its metrics, which [`samples`] reads; [`rows`] makes rates of two looks;
//! [`columns`] says what stands where; [`state`] is what a person made of it with the keys; [`view`] and [`details`]
//! draw that; [`words`] are numbers in few letters.
//!
//! Invariant: it ends by a key, by a signal or when its terminal goes away, and gives the terminal back each time. A node
//! that does not answer keeps its line, which says so; the rest goes on. What a server told is escaped before it is drawn.

pub mod columns;
pub mod details;
pub mod gather;
pub mod rows;
pub mod samples;
pub mod state;
pub mod view;
pub mod words;

use std::sync::Arc;
use std::time::Duration;

use chat_protocol::Span;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;

use crate::command::top::columns::{Column, report};
use crate::command::top::gather::{Gatherer, Look, Subject, Told};
use crate::command::top::rows::rows;
use crate::command::top::state::{State, Wish};
use crate::command::top::view::draw;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::screen::{Input, Screen, inputs};
use crate::style::Theme;

/// Looks that wait to be shown.
const WAITING: usize = 1;

const EXAMPLES: &str = "\
Each node is asked for its metrics, at the address that `chatctl nodes` shows,
with the same key. Keys: arrows choose and sort, enter looks into a node and
then a user, u and c ask for a user or a conversation (with --app), ? tells all
of them, q ends.

Examples:
  chatctl top
  chatctl --app 101 top --interval 5s --sort p99
  chatctl top --once -o json | jq '.[] | {nodeId, waitingBytes}'
  TERM=dumb chatctl top                         # tables, one below the other";

/// Arguments of `top`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Pause between two looks, such as 500ms, 2s
    #[arg(long, value_name = "DURATION", default_value = "2s")]
    interval: Span,
    /// Column to sort by, as its title says it
    #[arg(long, value_name = "COLUMN", default_value = "open", value_parser = column)]
    sort: Column,
    /// Two looks, then one table of what came between them
    #[arg(long)]
    once: bool,
}

fn column(title: &str) -> Result<Column, String> {
    let mut column = Column::Node;
    let mut titles = Vec::new();
    loop {
        if column.title().eq_ignore_ascii_case(title) {
            return Ok(column);
        }
        titles.push(column.title().to_ascii_lowercase());
        column = column.beside(1);
        if column == Column::Node {
            return Err(format!("must be one of {}", titles.join(", ")));
        }
    }
}

/// Runs the command.
pub async fn run(args: Args, operator: &Operator) -> Result<Exit, Failure> {
    let interval = args.interval.get();
    if interval < Duration::from_millis(100) {
        return Err(Failure::usage(
            "nodes are not asked more than ten times a second",
            "give for example --interval 1s",
        ));
    }
    let gatherer = Gatherer::new(operator.http()?, operator.settings.timeout.get());
    if operator.settings.dry_run {
        return operator.rehearse(&[operator.rehearsed::<chat_protocol::node::Nodes>(&Default::default())]);
    }
    if args.once {
        return once(gatherer, interval, args.sort, operator).await;
    }
    if operator.terminals.is_dumb && operator.terminals.stdout {
        return plainly(gatherer, interval, args.sort, operator).await;
    }
    if !(operator.terminals.stdout && operator.terminals.stdin) {
        return Err(Failure::usage(
            "top draws on a terminal and listens to its keys; this is none",
            "`chatctl top --once` prints one table, and -o json the same for programs",
        ));
    }
    let state = State::new(
        operator.settings.server.to_string(),
        operator.settings.app_if_named(),
        operator.settings.acting.clone(),
        args.sort,
    );
    on_screen(gatherer, args.interval, state, operator).await
}

/// Asks in the background, until dropped.
struct Asking {
    looks: mpsc::Receiver<Look>,
    subject: watch::Sender<Subject>,
    task: JoinHandle<()>,
}

impl Asking {
    fn begin(gatherer: Gatherer, every: Duration) -> Self {
        let (tell, looks) = mpsc::channel(WAITING);
        let (subject, about) = watch::channel(Subject::Nodes);
        let task = tokio::spawn(gatherer.run(every, about, Arc::new(Notify::new()), tell));
        Self { looks, subject, task }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn on_screen(
    gatherer: Gatherer,
    every: Span,
    mut state: State,
    operator: &Operator,
) -> Result<Exit, Failure> {
    let mut asking = Asking::begin(gatherer, every.get());
    let theme = Theme { color: operator.console.look().color };
    let words = format!("every {every}");
    let mut screen = Screen::take(operator)?;
    let mut keys = inputs();
    loop {
        screen.draw(|frame| draw(frame, &mut state, theme, &words, (operator.clock)()))?;
        let wish = tokio::select! {
            look = asking.looks.recv() => {
                let Some(look) = look else { return Ok(Exit::Done) };
                state.take(look);
                Wish::Draw
            }
            input = keys.recv() => match input {
                Some(Input::Key(key)) => state.press(key),
                Some(Input::Paste(text)) => {
                    state.paste(&text);
                    Wish::Draw
                }
                Some(Input::Resized) => Wish::Draw,
                None => Wish::End,
            },
            () = operator.stop.notified() => Wish::End,
        };
        match wish {
            Wish::Draw => {}
            Wish::Look(subject) => drop(asking.subject.send(subject)),
            Wish::End => return Ok(Exit::Done),
            Wish::Interrupt => return Ok(Exit::Interrupted),
        }
    }
}

/// One table, of what came between two looks.
async fn once(
    mut gatherer: Gatherer,
    every: Duration,
    sort: Column,
    operator: &Operator,
) -> Result<Exit, Failure> {
    let before = nodes(gatherer.look(&Subject::Nodes).await)?;
    tokio::select! {
        () = tokio::time::sleep(every) => {}
        () = operator.stop.notified() => return Ok(Exit::Done),
    }
    let now = nodes(gatherer.look(&Subject::Nodes).await)?;
    print(&now, &before, sort, operator)
}

/// A table after each look.
async fn plainly(
    gatherer: Gatherer,
    every: Duration,
    sort: Column,
    operator: &Operator,
) -> Result<Exit, Failure> {
    let mut asking = Asking::begin(gatherer, every);
    let mut before = Vec::new();
    loop {
        let look = tokio::select! {
            look = asking.looks.recv() => look,
            () = operator.stop.notified() => return Ok(Exit::Done),
        };
        let Some(look) = look else { return Ok(Exit::Done) };
        match nodes(look) {
            Ok(now) => {
                print(&now, &before, sort, operator)?;
                operator.console.data("\n")?;
                before = now;
            }
            Err(failure) => operator.console.error(&failure.to_string()),
        }
    }
}

fn nodes(look: Look) -> Result<Vec<Told>, Failure> {
    look.nodes.map_err(|why| Failure::Undone(format!("nobody says which nodes there are: {why}")))
}

fn print(now: &[Told], before: &[Told], sort: Column, operator: &Operator) -> Result<Exit, Failure> {
    let (mut rows, totals) = rows(now, before);
    rows.sort_by(|a, b| sort.order(a, b));
    operator.print(&report(&rows, (operator.clock)()))?;
    for row in rows.iter().filter(|row| row.silent.is_some()) {
        let (name, why) = (&row.node.node_id, row.silent.as_deref().unwrap_or_default());
        operator.console.error(&format!("node {name} at {} tells nothing: {why}", row.node.address));
    }
    Ok(if totals.nodes.1 > 0 { Exit::Partly } else { Exit::Done })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_named_by_its_title() {
        assert_eq!(column("P99"), Ok(Column::Lag));
        assert_eq!(column("open"), Ok(Column::Open));
        assert!(column("size").unwrap_err().contains("node, host, address"));
    }
}
