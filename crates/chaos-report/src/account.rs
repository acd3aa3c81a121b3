//! What a judge says of a violation, laid out to be read: one line for each operation.

/// More operations than this are not all shown: the first few, and those before the end.
const SHOWN_MAX: usize = 12;
const FIRST: usize = 3;

/// The operations, one a line, and the conclusion last. Of a long account the middle is left out.
pub fn account(words: &str) -> Vec<String> {
    let (told, conclusion) = words.rsplit_once(": ").unwrap_or((words, ""));
    let told: Vec<&str> = told.split("; ").collect();
    let mut lines: Vec<String> = Vec::new();
    if told.len() <= SHOWN_MAX {
        lines.extend(told.iter().map(ToString::to_string));
    } else {
        let last = told.len() - (SHOWN_MAX - FIRST);
        lines.extend(told[..FIRST].iter().map(ToString::to_string));
        lines.push(format!("… {} more operations, in history.jsonl …", last - FIRST));
        lines.extend(told[last..].iter().map(ToString::to_string));
    }
    if !conclusion.is_empty() {
        lines.push(conclusion.to_owned());
    }
    lines
}

/// Longer words than this are no line of a table.
const LINE_MAX: usize = 200;

/// A few words instead of an account that would fill the screen: why it cannot be. Other words stay whole.
pub fn in_short(words: &str) -> &str {
    if words.len() <= LINE_MAX || !words.contains("; client ") {
        return words;
    }
    let conclusion = words.rsplit_once(": ").map(|(_, conclusion)| conclusion);
    conclusion.filter(|it| it.len() <= LINE_MAX).unwrap_or("see what went wrong")
}

/// What was found of a claim, without the claim's own name and without what there was none of.
pub fn found<'a>(claim: &str, words: &'a str) -> &'a str {
    let words = words.strip_prefix(claim).and_then(|it| it.strip_prefix(": ")).unwrap_or(words);
    let words = words.split_once("; 0 writes of unknown outcome").map_or(words, |(it, _)| it);
    in_short(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_told_by_lines_and_a_long_one_in_part() {
        let two =
            "client 3 wrote k=8 (acknowledged at 1 s); client 5 read k=7: it does not show it";
        assert_eq!(
            account(two),
            [
                "client 3 wrote k=8 (acknowledged at 1 s)",
                "client 5 read k=7",
                "it does not show it"
            ]
        );
        let many: Vec<String> = (0..700).map(|it| format!("client 1 wrote k={it}")).collect();
        let many = format!("{}: no order", many.join("; "));
        let lines = account(&many);
        assert_eq!(lines.len(), SHOWN_MAX + 2);
        assert_eq!(lines[FIRST], "… 688 more operations, in history.jsonl …");
        assert_eq!(lines[SHOWN_MAX], "client 1 wrote k=699");
        assert_eq!(in_short(&many), "no order");
        assert_eq!(in_short(two), two);
        let proven = "linearizable: 9 operations on 2 keys, proven by certificate";
        let none = format!("{proven}; 0 writes of unknown outcome: 0 took effect");
        assert_eq!(found("linearizable", &none), &proven["linearizable: ".len()..]);
        let some = format!("{proven}; 1 writes of unknown outcome: 0 took effect");
        assert_eq!(found("linearizable", &some), &some["linearizable: ".len()..]);
        assert_eq!(found("recovered", "30 times"), "30 times");
        let others = format!("{}most of fds left no trace: 1 block_log", "3 kill, ".repeat(40));
        assert_eq!(in_short(&others), others);
    }
}
