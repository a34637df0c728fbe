//! Makes the messages, the client and the server of the contract, without a protoc.

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

use prost::Message;

/// The members have the names of chatd's JSON, and what is missing there is what proto3 says it is.
const SERDE: &str =
    "#[derive(serde::Serialize, serde::Deserialize)]\n#[serde(rename_all = \"camelCase\", default)]";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=chat.proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let files = protox::compile(["chat.proto"], ["."])?;
    fs::write(out.join("chat.bin"), files.encode_to_vec())?;
    tonic_prost_build::configure().build_transport(false).message_attribute(".", SERDE).compile_fds(files)?;
    Ok(())
}
