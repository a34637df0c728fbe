//! The types of a statement's parameters, for a server that is not asked for them first.
//!
//! Invariant: a value has the one type of the tables that takes it; nothing is rounded or read as something else.

use bytes::BytesMut;
use tokio_postgres::types::{ToSql, Type};

/// A value as a statement takes it.
type Value<'a> = &'a (dyn ToSql + Sync);

/// The values, each with its type.
pub fn typed<'a>(values: &[Value<'a>]) -> Vec<(Value<'a>, Type)> {
    values.iter().map(|value| (*value, type_of(*value))).collect()
}

/// The type that takes the value. A value of another kind has none, and is refused before anything is sent.
fn type_of(value: Value<'_>) -> Type {
    let types = [Type::INT8, Type::TEXT, Type::INT8_ARRAY, Type::TEXT_ARRAY, Type::BYTEA];
    let takes = |known: &Type| value.to_sql_checked(known, &mut BytesMut::new()).is_ok();
    types.into_iter().find(takes).unwrap_or(Type::VOID)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_the_type_of_its_column() {
        let (texts, nothing) = (vec!["a"], None::<i64>);
        let owned = [String::new()];
        let cases: [(Value<'_>, Type); 13] = [
            (&7_i64, Type::INT8),
            (&nothing, Type::INT8),
            (&Some(7_i64), Type::INT8),
            (&"a", Type::TEXT),
            (&String::new(), Type::TEXT),
            (&None::<&str>, Type::TEXT),
            (&vec![7_i64], Type::INT8_ARRAY),
            (&texts, Type::TEXT_ARRAY),
            (&&owned[..], Type::TEXT_ARRAY),
            (&vec![Some("a"), None], Type::TEXT_ARRAY),
            (&Vec::<&str>::new(), Type::TEXT_ARRAY),
            (&vec![0_u8], Type::BYTEA),
            (&true, Type::VOID),
        ];
        for (value, wanted) in cases {
            assert_eq!(typed(&[value])[0].1, wanted, "{value:?}");
        }
    }
}
