//! What a message says, as every log keeps it: the JSON members of its push in one line, without the braces around
//! them, so that a log adds the place without reading the rest.
//!
//! Invariant: braces are taken off and put on only here.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The members of what becomes a JSON object.
///
/// # Errors
/// When it becomes none.
pub fn write(said: &impl Serialize) -> serde_json::Result<Bytes> {
    let mut json = serde_json::to_vec(said)?;
    if !json.starts_with(b"{") {
        return Err(serde::ser::Error::custom("it has no members"));
    }
    json.pop();
    Ok(Bytes::from(json).slice(1..))
}

/// What the members say of what is asked for.
///
/// # Errors
/// When they are none, or say something else.
pub fn read<T: DeserializeOwned>(members: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(&braced(members))
}

/// The object they are members of, for who reads without copying.
#[must_use]
pub fn braced(members: &[u8]) -> Vec<u8> {
    [b"{", members, b"}"].concat()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let said =
            BTreeMap::from([("from".to_owned(), "\"a}".to_owned()), ("msg".to_owned(), String::new())]);
        let members = write(&said).unwrap();
        assert_eq!(&members[..], br#""from":"\"a}","msg":"""#);
        assert_eq!(read::<BTreeMap<String, String>>(&members).unwrap(), said);
        assert_eq!(&write(&BTreeMap::<String, u8>::new()).unwrap()[..], b"");
        assert!(write(&1).is_err() && write(&"{}").is_err() && write(&[()]).is_err());
        assert!(read::<BTreeMap<String, String>>(b"}").is_err());
    }
}
