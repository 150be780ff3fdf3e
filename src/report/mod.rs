//! What people read: tables, JSON, the numbers of the landing page, and the words for skipped
//! frames.
//!
//! Pure, like [`metrics`](crate::metrics): it writes to what it is given, and the time and the
//! width of the terminal are arguments.

pub(crate) mod chart;
mod json;
mod overview;
mod reasons;
pub(crate) mod rows;
pub(crate) mod table;
pub(crate) mod time;
pub(crate) mod units;

pub use chart::Sample;
pub use json::{write_hosts, write_json, write_overview};
pub use overview::{Overview, Reception};
pub use reasons::{Explanation, Unusual};
pub(crate) use reasons::{skipped, truncated};
