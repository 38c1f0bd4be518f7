//! What is in the databases, and the trees that have it.

use super::Unheld;
use super::exposition::{Exposition, Family, Kind, Unit};
use super::info::Fields;
use crate::command::info::Shards;
use crate::tree::Memory;
use std::borrow::Cow;

/// The tree of one database, over all shards.
#[derive(Clone, Copy, Default)]
struct Figures {
    pages: usize,
    nodes: usize,
    memory: Memory,
}

/// Writes what `INFO` says of databases that have keys.
pub fn write_databases(fields: &Fields<'_>, out: &mut Exposition) {
    const FIGURES: [(&str, Family, f64); 4] = [
        ("keys=", Family::gauge("redis_db_keys", "Keys of a database"), 1.0),
        ("expires=", Family::gauge("redis_db_keys_expiring", "Keys of a database that have a deadline"), 1.0),
        (
            "avg_ttl=",
            Family::new(
                "redis_db_avg_ttl_seconds",
                Kind::Gauge,
                Unit::Seconds,
                "Time that these have left, on average",
            ),
            1e-3,
        ),
        (
            "subexpiry=",
            Family::gauge("redis_db_keys_with_expiring_items", "Hashes of a database that have fields with a deadline"),
            1.0,
        ),
    ];
    let databases: Vec<_> = fields.numbered("db").collect();
    for (name, family, factor) in &FIGURES {
        let rows = databases.iter().filter_map(|(number, figures)| {
            let value: f64 = figures.split(',').find_map(|figure| figure.strip_prefix(name))?.parse().ok()?;
            Some(([("db", Cow::Owned(format!("db{number}")))], value * factor))
        });
        out.rows(family, rows);
    }
}

/// Writes what the trees take.
pub fn write_trees(shards: &mut Unheld<'_>, out: &mut Exposition) {
    const BYTES: Family =
        Family::new("radish_tree_page_bytes", Kind::Gauge, Unit::Bytes, "Pages, which have keys and small values");
    const FREE: Family =
        Family::new("radish_tree_page_free_bytes", Kind::Gauge, Unit::Bytes, "The part of pages that holds nothing");
    const FILL: Family = Family::gauge("radish_tree_page_fill_ratio", "The part of pages that holds something");
    const NODE_BYTES: Family =
        Family::new("radish_tree_node_bytes", Kind::Gauge, Unit::Bytes, "All that leads to the pages");
    let mut databases = vec![Figures::default(); shards.state.keyspace.databases()];
    shards.visit(&mut |shard| {
        for (figures, tree) in databases.iter_mut().zip(&shard.databases) {
            let memory = tree.memory();
            figures.pages += tree.page_count();
            figures.nodes += tree.node_count();
            figures.memory.page_bytes += memory.page_bytes;
            figures.memory.page_free_bytes += memory.page_free_bytes;
            figures.memory.node_bytes += memory.node_bytes;
        }
    });
    type Read = fn(&Figures) -> f64;
    let families: [(&Family, Read); 6] = [
        (&Family::gauge("radish_tree_pages", "Pages of the tree of a database"), |figures| figures.pages as f64),
        (&BYTES, |figures| figures.memory.page_bytes as f64),
        (&FREE, |figures| figures.memory.page_free_bytes as f64),
        (&FILL, |figures| 1.0 - figures.memory.page_free_bytes as f64 / figures.memory.page_bytes as f64),
        (&Family::gauge("radish_tree_nodes", "Nodes that lead to the pages"), |figures| figures.nodes as f64),
        (&NODE_BYTES, |figures| figures.memory.node_bytes as f64),
    ];
    for (family, read) in families {
        let used = databases.iter().enumerate().filter(|(_, figures)| figures.memory.page_bytes > 0);
        out.rows(family, used.map(|(number, figures)| ([("db", Cow::Owned(format!("db{number}")))], read(figures))));
    }
}
