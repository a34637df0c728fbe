//! What statements are done under: said once in a session, or in each transaction where a pooler gives each another
//! one.
//!
//! Invariant: a commit waits for the disk, no statement and no lock is waited for without a bound, and nothing that is
//! said is left behind in a session that others use.

/// What a session begins with: a commit waits for the disk whatever the server's default, unless that is even stricter;
/// a statement is planned for the tables as they are, for a plan kept from when they were empty reads all of them; and
/// the server ends what it heard nothing of, so that nothing stays locked by a connection that is lost.
pub const OF_A_SESSION: &str = "
    SELECT set_config('synchronous_commit', 'on', false)
        WHERE current_setting('synchronous_commit') <> 'remote_apply';
    SET plan_cache_mode = force_custom_plan;
    SET statement_timeout = '5s';
    SET lock_timeout = '2s';
    SET idle_in_transaction_session_timeout = '5s';
    SET tcp_keepalives_idle = 10;
    SET tcp_keepalives_interval = 5;
    SET tcp_keepalives_count = 3;
    SET tcp_user_timeout = '10s';
    SET client_min_messages = warning";

/// The same for a transaction. A statement without a name is planned anew each time, and the connections are the
/// pooler's.
const OF_A_TRANSACTION: &str = "
    SELECT set_config('synchronous_commit', 'on', true)
        WHERE current_setting('synchronous_commit') <> 'remote_apply';
    SET LOCAL statement_timeout = '5s';
    SET LOCAL lock_timeout = '2s';
    SET LOCAL idle_in_transaction_session_timeout = '5s';
    SET LOCAL client_min_messages = warning";

/// For the operator: why statements go astray.
pub const POOLED: &str = "a pooler in transaction mode gives each transaction another session: \
    add pool_mode=transaction to the parameters of the URL, as in postgres://…/chat?pool_mode=transaction";

/// How a transaction begins.
#[derive(Debug, Clone, Copy)]
pub struct Begin {
    /// What stands behind BEGIN.
    pub how: &'static str,
    /// What is said in it before anything else, if anything.
    pub more: &'static str,
}

impl Begin {
    /// The statements.
    pub fn text(self, is_pooled: bool) -> String {
        let Self { how, more } = self;
        let settings = if is_pooled { OF_A_TRANSACTION } else { "" };
        // An empty statement is none.
        format!("BEGIN {how};{settings};{more}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outlives_a_transaction_that_a_pooler_gives_a_session() {
        let begin = Begin { how: "READ WRITE", more: "SET LOCAL lock_timeout = '100ms'" };
        assert_eq!(begin.text(false), "BEGIN READ WRITE;;SET LOCAL lock_timeout = '100ms'");
        let text = begin.text(true);
        let statements: Vec<_> = text.split(';').map(str::trim).collect();
        assert_eq!(statements.first(), Some(&"BEGIN READ WRITE"));
        assert_eq!(statements.last(), Some(&"SET LOCAL lock_timeout = '100ms'"), "the last word");
        let is_local = |said: &&str| said.starts_with("SET LOCAL ") || said.contains("'on', true)");
        assert!(statements[1..].iter().all(is_local), "{statements:?}");
        assert!(text.contains("synchronous_commit") && text.contains("statement_timeout"));
    }
}
