//! Numbers of things in words.
//!
//! Invariant: one thing is named in the singular, any other number of them in the plural.

/// `1 member`, `0 members`, `12 members`, of a noun whose plural ends in `s`.
#[must_use]
pub fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn one_is_singular() {
        let told = [0, 1, 2, 11].map(|count| counted(count, "node"));
        assert_eq!(told, ["0 nodes", "1 node", "2 nodes", "11 nodes"]);
    }
}
