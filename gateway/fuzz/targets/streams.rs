//! Names: streams of the exchange's protocol, topics of the native one, positions in event streams, rules of grants.
//! What a name means has a name of its own, which means the same.

use wire::exchange::{Grammar, Schema, Stream, SymbolCase};
use wire::{Pattern, Position};

pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for schema in [Schema::Json, Schema::Sbe] {
        for case in [SymbolCase::Lower, SymbolCase::Any] {
            let grammar = Grammar { schema, case };
            let Ok(stream) = Stream::parse(text, grammar) else { continue };
            let name = stream.name(schema).to_string();
            if stream != Stream::Silent {
                assert_eq!(Stream::parse(&name, grammar), Ok(stream), "{text} is {name}");
            }
        }
    }
    if let Ok(pattern) = Pattern::parse(text) {
        assert_eq!(Pattern::parse(&pattern.to_string()), Ok(pattern));
    }
    let _ = Position::parse(text);
    let _ = hub::Rules::parse([text]);
}
