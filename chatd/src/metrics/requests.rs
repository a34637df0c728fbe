//! What was asked, how it was answered, and who was let in.

use std::fmt;

use chat_protocol::Code;
use chat_protocol::code::close;
use chat_protocol::session::LOGIN;

use super::page::Page;
use crate::auth::Auth;
use crate::counters::Counters;
use crate::counters::requests::{CODES, Tallies};

impl Page<'_> {
    /// Requests over HTTP, WebSocket and gRPC.
    pub(super) fn requests(&mut self, counters: &Counters) -> fmt::Result {
        let requests = &counters.requests;
        self.answers(
            "chatd_http_requests_total",
            "HTTP requests answered, by what they asked for and code; a status where an answer has no code.",
            &requests.http,
        )?;
        self.times(
            "chatd_http_request_duration_seconds",
            "From the head of an HTTP request to the head of its answer.",
            &requests.http,
        )?;
        self.answers(
            "chatd_websocket_requests_total",
            "WebSocket requests answered, by command and code.",
            &requests.websocket,
        )?;
        self.times(
            "chatd_websocket_request_duration_seconds",
            "From the frame of a WebSocket request to the queueing of its answer.",
            &requests.websocket,
        )?;
        self.answers(
            "chatd_grpc_requests_total",
            "gRPC requests answered, by the operation that does it and code.",
            &requests.grpc,
        )?;
        self.times(
            "chatd_grpc_request_duration_seconds",
            "From the head of a gRPC request to the head of its answer.",
            &requests.grpc,
        )?;
        let refusals = Code::ALL.into_iter().filter(|code| *code != Code::Success).flat_map(|code| {
            let ways =
                [("http", &requests.http), ("websocket", &requests.websocket), ("grpc", &requests.grpc)];
            ways.map(|(way, tallies)| {
                let labels = [("via", way.to_owned()), ("code", code.number().to_string())];
                (labels, tallies.answered(code.number()))
            })
        });
        self.counters(
            "chatd_refusals_total",
            "Requests that were not done, by the way they came and the code of the answer.",
            refusals,
        )
    }

    /// Log-ins over WebSocket, and why they were refused.
    pub(super) fn logins(&mut self, counters: &Counters, auth: &Auth) -> fmt::Result {
        let login = counters.requests.websocket.of(LOGIN);
        let attempts = CODES.into_iter().map(|code| login.answered(code)).sum::<u64>();
        self.counter("chatd_login_attempts_total", "Log-ins that were answered, refusals too.", attempts)?;
        let refused =
            Code::ALL.into_iter().filter_map(|code| Some((reason(code)?, login.answered(code.number()))));
        let late = ("timeout", counters.closes.of(close::LOGIN_TIMEOUT));
        self.counters(
            "chatd_login_failures_total",
            "Log-ins that were refused, and connections closed because none came in time.",
            refused.chain([late]).map(|(reason, count)| ([("reason", reason)], count)),
        )?;
        self.counters(
            "chatd_credential_failures_total",
            "Keys and tokens that were refused, over HTTP and at log-ins.",
            auth.failures().map(|(reason, count)| ([("reason", reason)], count)),
        )?;
        self.counters(
            "chatd_connection_closes_total",
            "WebSocket connections that ended, by close code.",
            counters.closes.iter().map(|(code, count)| ([("code", shown(code))], count)),
        )
    }

    fn answers(&mut self, name: &str, help: &str, tallies: &Tallies) -> fmt::Result {
        // Those that were done are there from the start, so that a first one is seen as a rise.
        let all = tallies.iter().flat_map(|tally| CODES.map(|code| (tally, code, tally.answered(code))));
        let told = all.filter(|(_, code, count)| *count > 0 || *code == Code::Success.number());
        self.counters(
            name,
            help,
            told.map(|(tally, code, count)| {
                ([("operation", tally.name.to_owned()), ("code", shown(code))], count)
            }),
        )
    }

    fn times(&mut self, name: &str, help: &str, tallies: &Tallies) -> fmt::Result {
        let told = tallies.iter().filter_map(|tally| Some(([("operation", tally.name)], tally.times()?)));
        self.histograms(name, help, told)
    }
}

/// Codes beyond those that are told apart are kept under 0.
fn shown(code: u16) -> String {
    if code == 0 { "other".to_owned() } else { code.to_string() }
}

/// Why a log-in was refused; none where a log-in has no such answer.
fn reason(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::NotLoggedIn => "no_credential",
        Code::NotAuthorised => "credential",
        Code::BadUserId => "bad_user_id",
        Code::BadParameter => "bad_parameter",
        Code::RefusedByRule => "rule",
        Code::TooManyRequests => "too_many",
        Code::StoreUnreachable => "store_unreachable",
        Code::ServerError => "server_error",
        Code::TooLarge => "too_large",
        Code::Success
        | Code::NotFound
        | Code::UnknownOperation
        | Code::InsufficientBalance
        | Code::MethodNotAllowed => return None,
    })
}
