//! The layout against the schema: every template, field, offset, block length and code.

use roxmltree::{Document, Node};

use super::layout::{
    AggTradeMessage, AverageMessage, BarMessage, BookMessage, DefinitionMessage,
    DepthUpdateMessage, FeedStatusMessage, GapItem, GapMessage, GroupHeader, HEADER_BYTES, Head,
    Header, HeartbeatMessage, LevelEntry, PublishMessage, QuoteMessage, RollingTickerMessage,
    SCHEMA_ID, SCHEMA_VERSION, StatusMessage, Template, TickerMessage, TradeMessage, depth_flags,
    snapshot_flags,
};
use crate::event::{FeedState, GapReason};
use crate::tick::GROUP_LEVELS_MAX;
use crate::topic::Channel;
use crate::{SCHEMA_XML, TradingStatus};

/// Name in the schema's spelling, offset, size.
type Field = (String, usize, usize);

fn schema() -> Document<'static> {
    Document::parse(SCHEMA_XML).expect("the schema is XML")
}

fn number(node: Node<'_, '_>, attribute: &str) -> usize {
    let text = node.attribute(attribute);
    text.and_then(|text| text.parse().ok())
        .unwrap_or_else(|| panic!("{attribute} of {:?} is {text:?}", node.attribute("name")))
}

fn name<'a>(node: Node<'a, '_>) -> &'a str {
    node.attribute("name").expect("everything in the schema has a name")
}

fn children<'a>(node: Node<'a, 'a>, tag: &'a str) -> impl Iterator<Item = Node<'a, 'a>> {
    node.children().filter(move |child| child.tag_name().name() == tag)
}

fn find<'a>(document: &'a Document<'_>, tag: &str, wanted: &str) -> Node<'a, 'a> {
    document
        .descendants()
        .find(|node| node.tag_name().name() == tag && node.attribute("name") == Some(wanted))
        .unwrap_or_else(|| panic!("no {tag} {wanted} in the schema"))
}

/// Size of a primitive type, or of a type, enum or set of the schema.
fn size(document: &Document<'_>, type_name: &str) -> usize {
    match type_name {
        "char" | "int8" | "uint8" => 1,
        "int16" | "uint16" => 2,
        "int32" | "uint32" => 4,
        "int64" | "uint64" => 8,
        _ => {
            let is_type = |node: &Node<'_, '_>| {
                ["type", "enum", "set"].contains(&node.tag_name().name())
                    && node.attribute("name") == Some(type_name)
            };
            let node = document
                .descendants()
                .find(is_type)
                .unwrap_or_else(|| panic!("no type {type_name} in the schema"));
            let primitive = node.attribute("primitiveType").or(node.attribute("encodingType"));
            let length = node.attribute("length").map_or(1, |_| number(node, "length"));
            size(document, primitive.expect("a type has a primitive type")) * length
        }
    }
}

/// The fields of a message or group, from the begin of its block.
fn schema_fields(document: &Document<'_>, block: Node<'_, '_>) -> Vec<Field> {
    block
        .children()
        .filter(|child| child.tag_name().name() == "field")
        .map(|field| {
            let size = size(document, field.attribute("type").expect("a field has a type"));
            (name(field).to_owned(), number(field, "offset"), size)
        })
        .collect()
}

/// `bid_price` as `bidPrice`.
fn camel(snake: &str) -> String {
    let mut words = snake.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| name + &word[..1].to_uppercase() + &word[1..])
}

/// A struct's fields in the schema's terms: without the header, with the common head spread out.
fn block(fields: Vec<(&'static str, usize, usize)>, detail: &str) -> Vec<Field> {
    let mut block = Vec::new();
    for (name, offset, size) in fields {
        match name {
            "header" => {}
            "head" => block.extend(self::block(Head::fields(), detail)),
            "detail" => block.push((detail.to_owned(), offset - HEADER_BYTES, size)),
            name => block.push((camel(name), offset - HEADER_BYTES, size)),
        }
    }
    block
}

fn entry(fields: Vec<(&'static str, usize, usize)>) -> Vec<Field> {
    fields.into_iter().map(|(name, offset, size)| (camel(name), offset, size)).collect()
}

fn composite(document: &Document<'_>, name: &str) -> Vec<Field> {
    let mut offset = 0;
    children(find(document, "composite", name), "type")
        .map(|node| {
            let size = size(document, node.attribute("primitiveType").unwrap());
            offset += size;
            (self::name(node).to_owned(), offset - size, size)
        })
        .collect()
}

#[test]
fn schema_and_headers_are_the_layouts() {
    let document = schema();
    let root = document.root_element();
    assert_eq!(number(root, "id"), usize::from(SCHEMA_ID));
    assert_eq!(number(root, "version"), usize::from(SCHEMA_VERSION));
    assert_eq!(root.attribute("byteOrder"), Some("littleEndian"));
    assert_eq!(composite(&document, "messageHeader"), entry(Header::fields()));
    assert_eq!(composite(&document, "groupSizeEncoding"), entry(GroupHeader::fields()));
    let group_size = find(&document, "composite", "groupSizeEncoding");
    let count = children(group_size, "type").find(|node| name(*node) == "numInGroup").unwrap();
    assert_eq!(number(count, "maxValue"), GROUP_LEVELS_MAX);
}

#[test]
fn every_field_is_where_the_schema_says() {
    let document = schema();
    let levels = || [("bids", entry(LevelEntry::fields())), ("asks", entry(LevelEntry::fields()))];
    let mut templates = Vec::new();
    for message in children(document.root_element(), "message") {
        let id = u16::try_from(number(message, "id")).unwrap();
        let template = Template::from_id(id).unwrap_or_else(|| panic!("template {id}"));
        templates.push(template);
        assert_eq!(name(message), format!("{template:?}"));
        assert_eq!(number(message, "blockLength"), usize::from(template.block_length()));

        let (root, groups) = match template {
            Template::Trade => (block(TradeMessage::fields(), ""), vec![]),
            Template::Quote => (block(QuoteMessage::fields(), ""), vec![]),
            Template::DepthUpdate => (block(DepthUpdateMessage::fields(), ""), levels().into()),
            Template::PartialDepth => (block(BookMessage::fields(), "channel"), levels().into()),
            Template::DepthSnapshot => (block(BookMessage::fields(), "flags"), levels().into()),
            Template::Ticker => (block(TickerMessage::fields(), ""), vec![]),
            Template::Bar => (block(BarMessage::fields(), ""), vec![]),
            Template::Status => (block(StatusMessage::fields(), ""), vec![]),
            Template::AggTrade => (block(AggTradeMessage::fields(), ""), vec![]),
            Template::RollingTicker => (block(RollingTickerMessage::fields(), ""), vec![]),
            Template::Average => (block(AverageMessage::fields(), ""), vec![]),
            Template::Gap => {
                (block(GapMessage::fields(), ""), vec![("gaps", entry(GapItem::fields()))])
            }
            Template::Heartbeat => (block(HeartbeatMessage::fields(), ""), vec![]),
            Template::Definition => (block(DefinitionMessage::fields(), ""), vec![]),
            Template::FeedStatus => (block(FeedStatusMessage::fields(), ""), vec![]),
            Template::Publish => (block(PublishMessage::fields(), ""), vec![]),
        };
        assert_eq!(schema_fields(&document, message), root, "{template:?}");
        let end = root.last().map(|(_, offset, size)| offset + size);
        assert_eq!(end, Some(number(message, "blockLength")), "{template:?}");

        let found: Vec<Node<'_, '_>> = children(message, "group").collect();
        assert_eq!(found.len(), groups.len(), "{template:?}");
        for (node, (name, fields)) in found.into_iter().zip(groups) {
            assert_eq!(self::name(node), name);
            assert_eq!(schema_fields(&document, node), fields, "{template:?} {name}");
            let end = fields.last().map(|(_, offset, size)| offset + size);
            assert_eq!(end, Some(number(node, "blockLength")), "{template:?} {name}");
        }
        assert_eq!(children(message, "data").count(), 0, "{template:?}: decoders expect no data");
    }
    assert_eq!(templates, Template::ALL);
}

/// Names, in lower case, and codes of an enum or set.
fn codes(tag: &str, name: &str) -> Vec<(String, usize)> {
    let document = schema();
    let values = if tag == "enum" { "validValue" } else { "choice" };
    children(find(&document, tag, name), values)
        .map(|node| {
            let code = node.text().and_then(|text| text.trim().parse().ok());
            (self::name(node).to_lowercase(), code.expect("a code is a number"))
        })
        .collect()
}

#[test]
fn every_code_is_the_schemas() {
    let code = |name: &str, code: u8| (name.to_owned(), usize::from(code));
    let channels: Vec<(String, usize)> = Channel::all()
        .filter(|channel| channel.is_native())
        // Code generators may fold case, so the month is spelt out beside the minute.
        .map(|channel| code(&channel.name().replace("1M", "1month"), channel.code()))
        .collect();
    assert_eq!(codes("enum", "channel"), channels);
    assert_eq!(codes("set", "channelSet"), channels);
    for channel in Channel::all() {
        assert_eq!(channel.bit(), 1 << channel.code());
    }
    let reasons = GapReason::ALL.map(|reason| code(reason.name(), reason.code()));
    assert_eq!(codes("enum", "gapReason"), reasons);
    let states = FeedState::ALL.map(|state| code(state.name(), state.code()));
    assert_eq!(codes("enum", "feedState"), states);
    let statuses = TradingStatus::ALL.map(|status| code(status.name(), status as u8));
    assert_eq!(codes("enum", "tradingStatus"), statuses);
    assert_eq!(codes("enum", "side"), [code("bid", 0), code("ask", 1)]);
    assert_eq!(codes("enum", "boolean"), [code("false", 0), code("true", 1)]);
    let bits = |flags: [(&str, u8); 2]| {
        flags.map(|(name, flag)| (name.to_owned(), usize::try_from(flag.trailing_zeros()).unwrap()))
    };
    let flags = [("merged", depth_flags::MERGED), ("replaces_book", depth_flags::REPLACES_BOOK)];
    assert_eq!(codes("set", "depthFlags"), bits(flags));
    let flags = [("first", snapshot_flags::FIRST), ("last", snapshot_flags::LAST)];
    assert_eq!(codes("set", "snapshotFlags"), bits(flags));
}
