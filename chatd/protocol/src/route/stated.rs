//! The routes, each stated once.
//!
//! Invariant: each is in `crate::table::ROUTES`.

use super::{Admission, Content, Method, Outcome, Place, Route};
use crate::code::Code;
use crate::file::{Address, MAX_FILE_ID_BYTES, Upload, UploadRequest, Uploaded};
use crate::id::{AppId, UserId};
use crate::operation::{Operation, schema_of};
use crate::params::{Field, Kind, Parameters, parameters};
use crate::system::State;

parameters! {
    /// What stands in the query of the address of the page, which reads it.
    pub struct PageRequest {
        /// Which world; the page asks where it is absent.
        pub app_id: Option<AppId>,
        /// The name to enter with; the page asks where it is absent.
        pub user_id: Option<UserId>,
    }
}

/// Bytes of the name of what the page loads, at most.
const MAX_ASSET_BYTES: usize = 64;
/// Bytes of a version of the page, at most.
const MAX_VERSION_BYTES: usize = 64;

const ASSET: Field = Field {
    name: "asset",
    kind: Kind::Line(MAX_ASSET_BYTES),
    required: true,
    about: "The name of a file of the page, such as client.js.",
};
const VERSION: Field = Field {
    name: "version",
    kind: Kind::Line(MAX_VERSION_BYTES),
    required: true,
    about: "The version that the page names.",
};
const FILE_ID: Field =
    Field { name: "id", kind: Kind::Line(MAX_FILE_ID_BYTES), required: true, about: "Which file." };

/// What any request may be refused with: its host or origin, its address, a node without a place for it.
const DOOR: &[Code] =
    &[Code::BadParameter, Code::NotAuthorised, Code::TooManyRequests, Code::StoreUnreachable];
const PLAIN: Content = Content::Of(&["text/plain"]);
const SCRIPTS: Content = Content::Of(&["text/javascript", "text/css"]);
const MEDIA: Content = Content::Of(&["image/*", "audio/*", "video/*"]);

const fn outcome(status: u16, about: &'static str, content: Content) -> Outcome {
    Outcome { status, about, content, headers: &[] }
}

/// What most of them have in common.
const OPEN: Route = Route {
    place: Place::Livez,
    path: "",
    name: "",
    methods: &[Method::Get],
    about: "",
    segments: &[],
    query: &[],
    headers: &[],
    admission: Admission::Open,
    body: None,
    outcomes: &[],
    refusals: DOOR,
    is_everywhere: false,
};

/// `/acc`.
pub const WEBSOCKET: Route = Route {
    place: Place::WebSocket,
    path: "/acc",
    name: "acc",
    about: "The handshake of a WebSocket (RFC 6455), over which operations are commands; who talks says its log-in.",
    headers: &[
        ("Upgrade", "websocket, with Connection: Upgrade."),
        ("Sec-WebSocket-Version", "13."),
        ("Sec-WebSocket-Key", "16 bytes in base64."),
        ("Sec-WebSocket-Protocol", "chatd.v1 is selected where it is offered, and no other."),
    ],
    outcomes: &[Outcome {
        status: 101,
        about: "The WebSocket begins.",
        content: Content::Nothing,
        headers: &["Sec-WebSocket-Accept"],
    }],
    ..OPEN
};

/// `/`.
pub const ROOT: Route = Route {
    place: Place::Root,
    path: "/",
    name: "home",
    about: "Leads to the chat page.",
    query: PageRequest::FIELDS,
    outcomes: &[Outcome {
        status: 307,
        about: "Where the page is, as a path that begins here.",
        content: Content::Nothing,
        headers: &["Location"],
    }],
    ..OPEN
};

/// `/home/index`.
pub const PAGE: Route = Route {
    place: Place::Page,
    path: "/home/index",
    name: "home",
    about: "The chat page.",
    query: PageRequest::FIELDS,
    outcomes: &[outcome(200, "The page.", Content::Of(&["text/html"]))],
    ..OPEN
};

/// `/home/{asset}`.
pub const PAGE_ASSET: Route = Route {
    place: Place::Asset,
    path: "/home/{asset}",
    name: "home",
    about: "What the page loads; client.js is for the pages of others, too.",
    segments: &[ASSET],
    outcomes: &[outcome(200, "The file.", SCRIPTS)],
    refusals: &[
        Code::BadParameter,
        Code::NotAuthorised,
        Code::UnknownOperation,
        Code::TooManyRequests,
        Code::StoreUnreachable,
    ],
    ..OPEN
};

/// `/home/{version}/{asset}`.
pub const PAGE_ASSET_OF_VERSION: Route = Route {
    place: Place::VersionedAsset,
    path: "/home/{version}/{asset}",
    about: "The same for the page itself, which may be kept for ever.",
    segments: &[VERSION, ASSET],
    ..PAGE_ASSET
};

/// `/file/upload`.
pub const FILE_UPLOAD: Route = Route {
    place: Place::Upload,
    path: Upload::PATH,
    name: "file/upload",
    methods: &[Method::Put, Method::Post],
    about: Upload::ABOUT,
    query: UploadRequest::FIELDS,
    admission: Admission::Rights(Upload::RIGHTS),
    body: Some("The file itself, as it is: neither a form nor a coding. Its first bytes say what it is."),
    outcomes: &[outcome(200, "Success", Content::Answer(schema_of::<Uploaded>))],
    refusals: &[
        Code::NotLoggedIn,
        Code::BadParameter,
        Code::BadUserId,
        Code::NotAuthorised,
        Code::ServerError,
        Code::NotFound,
        Code::RefusedByRule,
        Code::TooManyRequests,
        Code::TooLarge,
        Code::StoreUnreachable,
    ],
    ..OPEN
};

/// `/file/{id}`.
pub const FILE: Route = Route {
    place: Place::File,
    path: "/file/{id}",
    name: "file",
    about: "A file, by an address that /file/upload or /file/url gave.",
    segments: &[FILE_ID],
    query: Address::FIELDS,
    headers: &[
        ("Range", "Asks for one part, in bytes."),
        ("If-Range", "An ETag: the part only of that content, and else the whole."),
        ("If-None-Match", "ETags: nothing when the content is one of these."),
    ],
    admission: Admission::Signed,
    outcomes: &[
        Outcome {
            status: 200,
            about: "All of it, as its first bytes say what it is.",
            content: MEDIA,
            headers: &["ETag", "Accept-Ranges", "Content-Disposition"],
        },
        Outcome {
            status: 206,
            about: "The part that Range asks for.",
            content: MEDIA,
            headers: &["Content-Range", "ETag", "Accept-Ranges", "Content-Disposition"],
        },
        Outcome {
            status: 304,
            about: "It is what If-None-Match names.",
            content: Content::Nothing,
            headers: &["ETag"],
        },
        Outcome {
            status: 416,
            about: "It has no such part.",
            content: Content::Nothing,
            headers: &["Content-Range"],
        },
    ],
    refusals: &[
        Code::BadParameter,
        Code::NotAuthorised,
        Code::ServerError,
        Code::NotFound,
        Code::RefusedByRule,
        Code::TooManyRequests,
        Code::StoreUnreachable,
    ],
    ..OPEN
};

/// `/livez`.
pub const LIVEZ: Route = Route {
    place: Place::Livez,
    path: "/livez",
    name: "livez",
    about: "Whether the process answers.",
    outcomes: &[outcome(200, "It does.", PLAIN)],
    is_everywhere: true,
    ..OPEN
};

/// `/readyz`.
pub const READYZ: Route = Route {
    place: Place::Readyz,
    path: "/readyz",
    name: "readyz",
    about: "Whether the node can be given work: whether what is sent now can be stored, and it is not about to stop.",
    outcomes: &[outcome(200, "It can.", PLAIN), outcome(503, "Why it cannot.", PLAIN)],
    is_everywhere: true,
    ..OPEN
};

/// `/metrics`.
pub const METRICS: Route = Route {
    place: Place::Metrics,
    path: "/metrics",
    name: "metrics",
    about: "What the node and its process count, for Prometheus.",
    headers: &[("Accept", "Which of the two forms is wanted.")],
    // As much as the state tells.
    admission: Admission::Rights(State::RIGHTS),
    outcomes: &[Outcome {
        status: 200,
        about: "All of it.",
        content: Content::Of(&["text/plain", "application/openmetrics-text"]),
        headers: &["Vary"],
    }],
    refusals: &[
        Code::NotLoggedIn,
        Code::BadParameter,
        Code::NotAuthorised,
        Code::ServerError,
        Code::TooManyRequests,
        Code::StoreUnreachable,
    ],
    is_everywhere: true,
    ..OPEN
};

/// `/openapi.json`.
pub const DOCUMENT: Route = Route {
    place: Place::Document,
    path: "/openapi.json",
    name: "openapi.json",
    about: "All paths, with their parameters and answers, as an OpenAPI 3.1 document.",
    outcomes: &[outcome(200, "The document.", Content::Of(&["application/json"]))],
    is_everywhere: true,
    ..OPEN
};
