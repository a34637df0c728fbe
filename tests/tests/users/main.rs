//! What people, browsers and programs do with a node, well or badly.

mod bad_frames;
mod bad_http;
mod bad_input;
mod bad_messages;
mod browsers;
mod crowds;
mod group_size;
mod groups;
mod http_connections;
mod http_manners;
mod metrics;
mod openapi;
mod page_crowds;
mod page_gaps;
mod page_keys;
mod page_names;
mod page_reading;
mod recovery;
mod red_packet_lists;
mod red_packets;
mod secure;
mod seed_api;
mod seed_frames;
mod seed_page;
mod talk;
mod wire;
