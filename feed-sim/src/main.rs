//! The `feed-sim` command.

fn main() {}
