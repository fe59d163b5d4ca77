//! Who the data belongs to. A tenant is part of every call and of every path on disk.

use crate::{Error, Result};
use std::sync::Arc;

/// A tenant's name: 1 to 64 characters of `a-z A-Z 0-9 _ -`, so that it can stand in a path as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tenant(Arc<str>);

impl Tenant {
    /// The name of the tenant that a request belongs to when it names none.
    pub const DEFAULT: &'static str = "default";

    /// Checks a name.
    pub fn new(name: &str) -> Result<Self> {
        let fits = (1..=64).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if fits {
            Ok(Self(name.into()))
        } else {
            Err(Error::bad_data(format!(
                "tenant {name:?} is not valid: use 1 to 64 characters of a-z A-Z 0-9 _ -"
            )))
        }
    }
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Tenant {
    fn default() -> Self {
        Self(Self::DEFAULT.into())
    }
}

impl std::fmt::Display for Tenant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Tenant;

    #[test]
    fn a_tenant_is_a_safe_path_segment() {
        for good in ["default", "a", "Team-7_x"] {
            assert_eq!(Tenant::new(good).unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "a/b", "ü", "a b", &"x".repeat(65)] {
            assert!(Tenant::new(bad).is_err(), "{bad:?}");
        }
    }
}
