//! The fields and the head together.

use super::head::KEPT_ROOM;
use super::*;
use crate::ids::FieldId;

fn fields(action: SpellingAction) -> (HeaderFields, FieldId) {
    let mut wanted = WantedFields::default();
    let token = wanted.id("x-token");
    wanted.id(":path");
    wanted.id("authorization");
    (
        HeaderFields::new(&wanted, ["x-jwt-sub", "user", "x_jwt_id"].iter(), action),
        token,
    )
}

fn taken(names: &[&str], action: SpellingAction) -> RequestHead {
    let mut head = RequestHead::new();
    for name in names {
        head.take(&fields(action).0, name.as_bytes(), b"v");
    }
    head
}

fn removed(names: &[&str], action: SpellingAction) -> Vec<String> {
    let head = taken(names, action);
    let text = |name: &[u8]| String::from_utf8(name.to_vec()).unwrap();
    head.removed().map(text).collect()
}

#[test]
fn owned_names_are_removed_in_every_spelling() {
    let spellings = [
        "x-jwt-sub",
        "x_jwt_sub",
        "x-jwt_sub",
        "x.jwt.sub",
        "x~jwt!sub",
        "X_Jwt_Sub",
        "user",
        "x-jwt-id",
        "x_jwt_id",
    ];
    assert_eq!(removed(&spellings, SpellingAction::DropHeader), spellings);
    let others = [
        "x-jwt-sub2",
        "xx-jwt-sub",
        "x-jwtasub",
        "xjwt-sub",
        "users",
        "",
        "_path",
        "-path",
    ];
    assert_eq!(removed(&others, SpellingAction::DropHeader), Vec::<String>::new());
    assert_eq!(removed(&["user", "user"], SpellingAction::DropHeader), ["user"]);
}

#[test]
fn only_owned_names_are_gone_from_every_request() {
    for action in [SpellingAction::DropHeader, SpellingAction::Allow] {
        let known = fields(action).0;
        for name in ["x-jwt-sub", "user", "x_jwt_id"] {
            assert!(known.removes(name.as_bytes()), "{name}");
        }
        for name in [
            "x_jwt_sub",
            "x-jwt-id",
            "x-token",
            "authorization",
            ":path",
            "x-other",
            "",
        ] {
            assert!(!known.removes(name.as_bytes()), "{name}");
        }
        assert!(!known.without_removals().removes(b"x-jwt-sub"));
    }
}

#[test]
fn spellings_of_fields_that_are_read_never_pass_for_them() {
    let (known, token) = fields(SpellingAction::DropHeader);
    let mut head = RequestHead::new();
    head.take(&known, b"x_token", b"a");
    head.take(&known, b"x-token", b"b");
    assert_eq!(head.all(token).collect::<Vec<_>>(), [b"b"]);
    assert_eq!(
        removed(
            &["x_token", "x-token", "authorization"],
            SpellingAction::DropHeader
        ),
        ["x_token"]
    );
}

#[test]
fn the_operator_may_refuse_or_allow_them() {
    let names = ["x_token", "x_jwt_sub", "x-jwt-sub"];
    assert_eq!(removed(&names, SpellingAction::Allow), ["x-jwt-sub"]);
    assert_eq!(taken(&names, SpellingAction::Allow).misspelt, None);
    assert_eq!(taken(&names, SpellingAction::DropHeader).misspelt, None);
    assert!(
        taken(&["x.token"], SpellingAction::RejectRequest)
            .misspelt
            .is_some()
    );
    assert_eq!(
        taken(&["x-token", "x-jwt-sub"], SpellingAction::RejectRequest).misspelt,
        None
    );
}

#[test]
fn nothing_is_removed_where_nothing_may_be() {
    let known = fields(SpellingAction::DropHeader).0.without_removals();
    let mut head = RequestHead::new();
    for name in ["x-jwt-sub", "x_token", "x-token"] {
        head.take(&known, name.as_bytes(), b"v");
        assert!(!known.removes_trailer(name.as_bytes()), "{name}");
    }
    assert_eq!(head.removed().count(), 0);
    // Another spelling does not change that.
    assert_eq!(head.all(fields(SpellingAction::DropHeader).1).count(), 1);
}

#[test]
fn an_emptied_head_has_nothing_of_the_request_before() {
    let (known, token) = fields(SpellingAction::RejectRequest);
    let mut head = RequestHead::new();
    head.take(&known, b"x-token", &[b'a'; 10_000]);
    head.take(&known, b"x-jwt-sub", b"b");
    head.take(&known, b"x_token", b"c");
    head.take(&known, b"content-type", b"application/grpc");
    head.route_requirement = Some(Vec::new());
    head.further_routes.push(None);
    head.filter_state = Some(Vec::new());
    head.peer_certificate = Some(Vec::new());
    head.source_address = Some(Vec::new());
    head.clear();
    assert_eq!(format!("{head:?}"), format!("{:?}", RequestHead::new()));
    assert_eq!(head.bytes(), 0);
    assert!(head.text.capacity() <= KEPT_ROOM);
    head.take(&known, b"x-token", b"d");
    assert_eq!(head.all(token).collect::<Vec<_>>(), [b"d"]);
}

#[test]
fn the_first_content_type_decides_whether_a_request_is_grpc() {
    let is_grpc = |owned: &[&str], values: &[&str]| {
        let mut wanted = WantedFields::default();
        wanted.id("x-token");
        let known = HeaderFields::new(&wanted, owned.iter(), SpellingAction::DropHeader);
        let mut head = RequestHead::new();
        for value in values {
            head.take(&known, b"content-type", value.as_bytes());
        }
        head.is_grpc
    };
    assert_eq!(is_grpc(&[], &[]), None);
    assert_eq!(is_grpc(&[], &["application/grpc+proto", "text/html"]), Some(true));
    assert_eq!(is_grpc(&[], &["text/html", "application/grpc"]), Some(false));
    // A removed field has no effect.
    assert_eq!(is_grpc(&["content-type"], &["application/grpc"]), None);
}

#[test]
fn trailers_of_all_of_these_names_are_removed() {
    let (known, _) = fields(SpellingAction::DropHeader);
    for name in ["x-jwt-sub", "x_jwt_sub", "x-token", "X.Token", "authorization"] {
        assert!(known.removes_trailer(name.as_bytes()), "{name}");
    }
    for name in ["grpc-status", "x-other", "_path"] {
        assert!(!known.removes_trailer(name.as_bytes()), "{name}");
    }
    assert!(!fields(SpellingAction::Allow).0.removes_trailer(b"x_token"));
    assert!(fields(SpellingAction::Allow).0.removes_trailer(b"x-token"));
}
