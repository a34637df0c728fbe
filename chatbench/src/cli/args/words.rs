//! The words of options that are one of a few, for enums of floors that know no command line.
//!
//! Invariant: each value has one word, and each word its line in `--help`.

use chatbench_result::capacity::Vary;
use clap::ValueEnum;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::ledger::plan::timetable::Arrival;
use crate::phases::spec::Via;
use crate::scenario::redpacket::wanted::Shares;
use crate::watch::servers::Resources;

macro_rules! words {
    ($of:ident: $($value:ident $word:literal $help:literal),+) => {
        impl ValueEnum for $of {
            fn value_variants<'a>() -> &'a [Self] {
                &[$($of::$value),+]
            }

            fn to_possible_value(&self) -> Option<PossibleValue> {
                Some(match self {
                    $($of::$value => PossibleValue::new($word).help($help)),+
                })
            }
        }
    };
}

words!(Via:
    Ws "ws" "WebSocket, on the sender's own connection",
    Http "http" "HTTP POST; the senders are not connected",
    Grpc "grpc" "gRPC, over connections that the senders share; to one user or to everybody");

words!(Arrival:
    Constant "constant" "Equally far apart",
    Poisson "poisson" "At random, as independent senders would (exponential distances)");

words!(Shares:
    Lucky "lucky" "By chance",
    Equal "equal" "All the same",
    Mixed "mixed" "Every other packet lucky, the others equal");

words!(Resources:
    Auto "auto" "As `pid` where a process is found, else as `metrics`",
    Pid "pid" "From the kernel, by process id",
    Metrics "metrics" "From what each --server says at /metrics");

/// Reads how grabs are sent: gRPC has no call for that.
pub fn via_of_grabs() -> impl TypedValueParser<Value = Via> {
    let words = [Via::Ws, Via::Http].into_iter().filter_map(|via| via.to_possible_value());
    PossibleValuesParser::new(words).map(|word| if word == "ws" { Via::Ws } else { Via::Http })
}

/// Reads what a search varies, whose type is of a crate that knows no command line.
pub fn vary() -> impl TypedValueParser<Value = Vary> {
    let words =
        [PossibleValue::new("rate").help("`--rate`"), PossibleValue::new("clients").help("`--clients`")];
    PossibleValuesParser::new(words).map(|word| if word == "rate" { Vary::Rate } else { Vary::Clients })
}
