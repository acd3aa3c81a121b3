//! What a button of the page asks for, as an order.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::control::{Blow, Order, Scope};
use crate::plan::Target;

/// What the page sends.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    #[serde(rename = "do")]
    act: Act,
    target: String,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Act {
    Kill,
    Pause,
    Resume,
    Partition,
    Heal,
}

impl Wish {
    /// The order, given the nodes as they were last seen.
    pub(super) fn order(&self, nodes: &BTreeMap<u64, &'static str>) -> Result<Order, String> {
        let target = || self.target.parse::<Target>();
        Ok(match self.act {
            Act::Kill => Order::Kill { target: target()?, signal: Blow::Kill, restart_after: None },
            Act::Pause => Order::Pause { target: target()?, lasts: None },
            Act::Resume => Order::Resume { target: target()? },
            Act::Partition => {
                let cut = match target()? {
                    Target::Minority => cut_off_a_minority(nodes)?,
                    other => other.to_string(),
                };
                Order::Partition { cut, one_way: None, refuse: false, lasts: None }
            }
            Act::Heal => heal(target()?, nodes)?,
        })
    }
}

/// One node is healed of what it is seen to suffer; one that is up may suffer from links alone.
fn heal(target: Target, nodes: &BTreeMap<u64, &'static str>) -> Result<Order, String> {
    let named = match &target {
        Target::All => return Ok(Order::Heal { what: Scope::All }),
        Target::Nodes(named) if named.len() == 1 => named.first().and_then(|id| nodes.get(&id.0)),
        _ => return Err("`all` can be healed, or one node".to_owned()),
    };
    match named {
        Some(&"down") => Ok(Order::Start { target }),
        Some(&"paused") => Ok(Order::Resume { target }),
        Some(_) => Ok(Order::Heal { what: Scope::Links }),
        None => Err(format!("{target} has not been seen")),
    }
}

/// As many nodes as can be missed, by lot, against the others.
fn cut_off_a_minority(nodes: &BTreeMap<u64, &'static str>) -> Result<String, String> {
    let mut ids: Vec<u64> = nodes.keys().copied().collect();
    ids.sort_by_cached_key(|_id| rand::random::<u64>());
    let (few, most) = ids.split_at(ids.len().saturating_sub(1) / 2);
    if few.is_empty() {
        return Err(format!("no minority of {} nodes can be cut off", ids.len()));
    }
    let listed = |ids: &[u64]| ids.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    Ok(format!("{}/{}", listed(few), listed(most)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(wish: &str) -> Result<String, String> {
        let nodes = BTreeMap::from([(1, "up"), (2, "down"), (3, "paused")]);
        let wish: Wish = serde_json::from_str(wish).map_err(|error| error.to_string())?;
        wish.order(&nodes).map(|order| order.to_string())
    }

    #[test]
    fn every_button_is_an_order() {
        let orders = [
            ("kill", "leader", "kill leader"),
            ("pause", "n1", "pause n1"),
            ("resume", "n3", "resume n3"),
            ("partition", "leader", "partition leader"),
            ("partition", "n1", "partition n1"),
            ("heal", "all", "heal all"),
            ("heal", "n1", "heal links"),
            ("heal", "n2", "start n2"),
            ("heal", "n3", "resume n3"),
        ];
        for (act, target, order) in orders {
            let wish = format!("{{\"do\":\"{act}\",\"target\":\"{target}\"}}");
            assert_eq!(typed(&wish).as_deref(), Ok(order), "{wish}");
        }
        let cut = typed("{\"do\":\"partition\",\"target\":\"minority\"}").unwrap();
        let (few, most) = cut.trim_start_matches("partition ").split_once('/').unwrap();
        assert_eq!((few.len(), most.len()), (1, 3), "{cut}");
    }

    #[test]
    fn what_is_no_order_is_refused() {
        let wrong = [
            "{}",
            "[]",
            "{\"do\":\"dance\",\"target\":\"n1\"}",
            "{\"do\":\"kill\",\"target\":\"everybody\"}",
            "{\"do\":\"heal\",\"target\":\"leader\"}",
            "{\"do\":\"heal\",\"target\":\"n9\"}",
            "{\"do\":\"kill\",\"target\":\"n1\",\"more\":1}",
        ];
        for wish in wrong {
            assert!(typed(wish).is_err(), "{wish}");
        }
    }
}
