//! The table of reasons and the example of a reply, compared with the replies.

use proxy_wasm_jwt::denial::{Denial, Reason};
use proxy_wasm_jwt::reply::{LocalReply, Replies};

use crate::examples::{parse, with_provider_fields};
use crate::markdown::{code, page, pages};

fn replies() -> Replies {
    parse(&with_provider_fields(&serde_json::json!({})))
        .expect("a configuration")
        .replies
}

fn header<'r>(reply: &'r LocalReply, name: &str) -> Option<&'r str> {
    reply
        .headers
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value.as_str())
}

#[test]
fn the_table_of_reasons_is_the_list_of_reasons() {
    let page = page("docs/refusals.md");
    let table = page
        .tables_of(&["reason", "status", "error", "meaning"])
        .next()
        .expect("the table of reasons");
    let documented: Vec<_> = table
        .rows
        .iter()
        .map(|row| code(&row[0]).expect("a reason"))
        .collect();
    let known: Vec<_> = Reason::ALL.iter().map(|reason| reason.label()).collect();
    assert_eq!(
        documented, known,
        "docs/refusals.md: the table of reasons, in the order of Reason::ALL"
    );

    let replies = replies();
    for (row, reason) in table.rows.iter().zip(Reason::ALL) {
        let reply = replies.to(&Denial::new(reason).into());
        assert_eq!(row[1], reply.status.to_string(), "{}", row[0]);
        let body: serde_json::Value = serde_json::from_slice(&reply.body).expect("a JSON body");
        let error = body["error"].as_str();
        assert_eq!(
            row[2],
            error.map_or_else(|| "none".to_owned(), |error| format!("`{error}`")),
            "{}",
            row[0]
        );
        let waits = row[3].contains("`retry-after`");
        assert_eq!(waits, header(&reply, "retry-after").is_some(), "{}", row[0]);
    }
}

#[test]
fn the_documented_replies_are_those_that_are_sent() {
    let replies = replies();
    let mut seen = 0;
    for page in pages() {
        for block in page.blocks.iter().filter(|block| block.info == "http") {
            let (head, body) = block.text.split_once("\n\n").expect("head and body");
            let shown: serde_json::Value = serde_json::from_str(body).expect("a JSON body");
            let reason = Reason::ALL
                .into_iter()
                .find(|reason| shown["reason"] == reason.label())
                .expect("a reason");
            let reply = replies.to(&Denial::new(reason).into());
            assert_eq!(body.trim_end().as_bytes(), reply.body);
            let mut lines = head.lines();
            let status = lines.next().and_then(|line| line.split(' ').nth(1));
            assert_eq!(status, Some(reply.status.to_string().as_str()));
            let shown: Vec<_> = lines.filter_map(|line| line.split_once(": ")).collect();
            let sent: Vec<_> = reply
                .headers
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            assert_eq!(shown, sent);
            seen += 1;
        }
    }
    assert!(seen >= 2, "only {seen} replies are shown");
}
