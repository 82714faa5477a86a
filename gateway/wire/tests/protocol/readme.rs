//! `docs/protocol/README.md`: its generated parts are fresh, its tables complete, its examples true.

use std::fmt::Write as _;
use std::fs;

use roxmltree::{Document, Node};
use serde_json::Value;
use tickcast_wire::command::{Buffers, COMMAND_BYTES_MAX, Command, MAX_RATE_MAX};
use tickcast_wire::sbe::HEADER_BYTES;
use tickcast_wire::{
    Channel, CloseCode, Encoding, ErrorCode, FeedState, GapReason, Pattern, SCHEMA_XML, reply,
};

use crate::cases::cases;
use crate::vectors::{decoded, frame};
use crate::{blesses, protocol_dir};

const END: &str = "<!-- end -->";

fn readme() -> String {
    fs::read_to_string(protocol_dir().join("README.md")).expect("docs/protocol/README.md")
}

/// Begin and end of the text between a mark and its end.
fn section(text: &str, mark: &str) -> (usize, usize) {
    let mark = format!("<!-- {mark} -->\n");
    let begin = text.find(&mark).unwrap_or_else(|| panic!("no {mark}")) + mark.len();
    let length = text[begin..].find(END).unwrap_or_else(|| panic!("no end of {mark}"));
    (begin, begin + length)
}

/// An example of each event, from the first vector that has it.
fn events() -> String {
    let mut out = String::new();
    let mut seen = Vec::new();
    for case in cases().iter().filter(|case| case.is_sent()) {
        let templates = decoded(&frame(case, Encoding::Sbe));
        let template = templates[0]["template"].as_str().unwrap().to_owned();
        if seen.contains(&template) {
            continue;
        }
        let mut json = Vec::new();
        case.events[0](Encoding::Json, &mut json);
        let json = String::from_utf8(json).unwrap();
        writeln!(out, "{template}:\n```json\n{json}\n```").unwrap();
        seen.push(template);
    }
    out
}

fn attribute<'a>(node: Node<'a, '_>, name: &str) -> &'a str {
    node.attribute(name).unwrap_or_else(|| panic!("{node:?} has no {name}"))
}

/// `name type @offset` of each field, by the schema.
fn fields(document: &Document<'_>, block: Node<'_, '_>, base: usize) -> String {
    let fields = block.children().filter(|node| node.has_tag_name("field")).map(|field| {
        let offset: usize = attribute(field, "offset").parse().unwrap();
        let name = attribute(field, "name");
        format!("`{name}` {} @{}", primitive(document, attribute(field, "type")), base + offset)
    });
    fields.collect::<Vec<String>>().join(", ")
}

fn primitive(document: &Document<'_>, name: &str) -> String {
    let types = document.root_element().children().find(|node| node.has_tag_name("types")).unwrap();
    let found = types.children().find(|node| node.attribute("name") == Some(name)).unwrap();
    let primitive = found.attribute("primitiveType").or(found.attribute("encodingType")).unwrap();
    let short = primitive.replace("uint", "u").replace("int", "i");
    match (found.attribute("length"), found.tag_name().name()) {
        (Some(length), _) => format!("{short}[{length}]"),
        (None, "enum" | "set") => format!("{short} ({name})"),
        (None, _) => short,
    }
}

/// A row for each template, by the schema.
fn templates() -> String {
    let document = Document::parse(SCHEMA_XML).unwrap();
    let mut out =
        "| id | template | bytes of header and root | fields |\n|---|---|---|---|\n".to_owned();
    let messages = document.root_element().children();
    for message in messages.filter(|node| node.tag_name().name() == "message") {
        let block: usize = attribute(message, "blockLength").parse().unwrap();
        let mut row = fields(&document, message, HEADER_BYTES);
        for group in message.children().filter(|node| node.has_tag_name("group")) {
            let name = attribute(group, "name");
            write!(row, "; group `{name}` of {}", fields(&document, group, 0)).unwrap();
        }
        let (id, name) = (attribute(message, "id"), attribute(message, "name"));
        writeln!(out, "| {id} | {name} | {} | {row} |", HEADER_BYTES + block).unwrap();
    }
    out
}

#[test]
fn generated_parts_are_fresh() {
    let mut text = readme();
    for (mark, fresh) in [("generated: events", events()), ("generated: templates", templates())] {
        let (begin, end) = section(&text, mark);
        if blesses() {
            text.replace_range(begin..end, &fresh);
        } else {
            assert_eq!(&text[begin..end], fresh, "{mark}; see tests/protocol/main.rs");
        }
    }
    if blesses() {
        fs::write(protocol_dir().join("README.md"), text).unwrap();
    }
}

/// First and second cell of each row of a table.
fn rows(text: &str, mark: &str) -> Vec<(u16, String)> {
    let (begin, end) = section(text, mark);
    let rows = text[begin..end].lines().skip(2).map(|row| {
        let mut cells = row.split('|').map(str::trim).skip(1);
        let code = cells.next().and_then(|code| code.parse().ok());
        let name = cells.next().unwrap_or_default().trim_matches('`').to_owned();
        (code.unwrap_or_else(|| panic!("no code in {row}")), name)
    });
    rows.collect()
}

#[test]
fn tables_of_codes_are_complete() {
    let text = readme();
    let row = |code: u16, name: &str| (code, name.to_owned());
    let errors = ErrorCode::ALL.map(|error| row(error.code(), error.name()));
    assert_eq!(rows(&text, "error codes"), errors);
    let closes = CloseCode::ALL.map(|close| row(close.code(), close.reason()));
    assert_eq!(rows(&text, "close codes"), closes);
    let reasons = GapReason::ALL.map(|reason| row(reason.code().into(), reason.name()));
    assert_eq!(rows(&text, "gap reasons"), reasons);
    let states = FeedState::ALL.map(|state| row(state.code().into(), state.name()));
    assert_eq!(rows(&text, "feed states"), states);
    for channel in Channel::all().filter(|channel| channel.is_native()) {
        assert!(text.contains(&format!("`{}`", channel.name())), "{channel} is not described");
    }
}

/// The text of each block of JSON.
fn examples(text: &str) -> Vec<&str> {
    let blocks = text.split("```json\n").skip(1);
    blocks.map(|block| block.split("\n```").next().unwrap()).collect()
}

#[test]
fn examples_are_true() {
    let text = readme();
    let mut ops = Vec::new();
    for example in examples(&text) {
        let value: Value =
            serde_json::from_str(example).unwrap_or_else(|e| panic!("{e}: {example}"));
        let Some(op) = value["op"].as_str() else { continue };
        ops.push(op.to_owned());
        match op {
            "hello" => {
                assert_eq!(value["limits"]["command_bytes"], COMMAND_BYTES_MAX);
                assert_eq!(value["limits"]["max_rate"], MAX_RATE_MAX);
            }
            "error" => {
                let code = u16::try_from(value["code"].as_u64().unwrap()).unwrap();
                let code = ErrorCode::from_code(code).expect(example);
                assert_eq!(value["name"], code.name());
            }
            "ack" => {
                let results = value["results"].as_array().unwrap();
                let refused = results.iter().find(|result| result["ok"] == false).unwrap();
                let error = Pattern::parse(refused["topic"].as_str().unwrap()).unwrap_err();
                assert_eq!(refused["msg"], error.to_string());
                assert_eq!(refused["code"], ErrorCode::BadTopic.code());
                assert_eq!(refused["name"], ErrorCode::BadTopic.name());
            }
            "pong" => {}
            "expiring" => {
                let mut written = Vec::new();
                reply::expiring(&mut written, value["in_ms"].as_u64().unwrap());
                assert_eq!(String::from_utf8(written).unwrap(), example);
            }
            "revoked" => {
                let (mut written, narrowed) = (Vec::new(), ["*.quote"]);
                reply::revoked(&mut written, &["BTCUSDT.depth"], &narrowed);
                assert_eq!(String::from_utf8(written).unwrap(), example);
            }
            "list" if value.get("topics").is_some() => {}
            _ => {
                let mut bytes = example.as_bytes().to_vec();
                let command = Command::parse(&mut bytes, &mut Buffers::new());
                assert!(command.is_ok(), "{example}: {command:?}");
            }
        }
    }
    ops.sort();
    ops.dedup();
    let all = [
        "ack",
        "auth",
        "error",
        "expiring",
        "hello",
        "list",
        "ping",
        "pong",
        "publish",
        "revoked",
        "subscribe",
        "unsubscribe",
    ];
    assert_eq!(ops, all);
    // The refused command of the error example is refused with that message.
    let refused = br#"{"op":"subscribe","topics":["A.trade"],"max_rate":0}"#;
    let error = Command::parse(&mut refused.to_vec(), &mut Buffers::new()).unwrap_err();
    assert!(text.contains(&format!("\"msg\":\"{error}\"")), "{error}");
}
