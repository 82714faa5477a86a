//! From received bytes to messages: headers, masks, fragments, across the borders of reads.
//!
//! A message that lies whole in what was just read is unmasked where it lies and costs no memory. Only
//! what is incomplete at the end of a read is kept, and given back with its last byte: an idle
//! connection keeps nothing.

use std::ops::Range;

use super::frame::{CLIENT_HEADER_MAX, CONTROL_MAX, Fault, Fin, Header, Opcode, parse};
use super::utf8::Utf8Check;

/// In which units data frames are handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Units {
    /// Whole messages.
    Messages,
    /// Frame by frame, as the client cut them.
    Fragments,
}

/// What arrived.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    /// Text or binary; a fragment may be a continuation; or a control frame.
    pub(crate) opcode: Opcode,
    /// Always [`Fin::Last`] but for fragments.
    pub(crate) fin: Fin,
    place: Place,
}

/// Where a unit's payload is.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Input(Range<usize>),
    KeptMessage,
    KeptControl,
}

/// The incomplete part of what one client sends.
#[derive(Debug, Default)]
pub(crate) struct Inbound {
    partial: Option<Box<Partial>>,
}

#[derive(Debug, Default)]
struct Partial {
    header: [u8; CLIENT_HEADER_MAX],
    header_bytes: usize,
    frame: Option<Open>,
    control: Vec<u8>,
    /// The message's opcode, if its last fragment has not ended.
    message_opcode: Option<Opcode>,
    message: Vec<u8>,
    /// Bytes of the message in fragments that have been handed out.
    message_passed: u64,
    utf8: Utf8Check,
    /// What the last call handed out and the next one clears.
    handed_out: Option<HandedOut>,
}

#[derive(Clone, Copy, Debug)]
enum HandedOut {
    Control,
    Message,
}

/// A frame of which not everything has arrived.
#[derive(Debug)]
struct Open {
    header: Header,
    arrived: u64,
}

impl Inbound {
    /// The next unit in `input[*at..]`, moving `at` behind it. `None`: all of the input is used up,
    /// and what was incomplete is kept. A unit's payload must be taken before the next call.
    pub(crate) fn next(
        &mut self,
        input: &mut [u8],
        at: &mut usize,
        units: Units,
        message_max: usize,
    ) -> Result<Option<Unit>, Fault> {
        self.release();
        loop {
            let open = match self.partial.as_mut().and_then(|partial| partial.frame.take()) {
                Some(open) => open,
                None => {
                    let Some(header) = self.next_header(input, at)? else { return Ok(None) };
                    self.check(&header, message_max)?;
                    Open { header, arrived: 0 }
                }
            };
            if let Some(unit) = self.take_whole(&open, input, at, units)? {
                return Ok(Some(unit));
            }
            match self.take_part(open, input, at, units)? {
                Taken::Unit(unit) => return Ok(Some(unit)),
                Taken::Fragment => {}
                Taken::AllInput => return Ok(None),
            }
        }
    }

    /// The payload of a unit, unmasked.
    pub(crate) fn payload<'a>(&'a mut self, input: &'a mut [u8], unit: &Unit) -> &'a mut [u8] {
        match (&unit.place, self.partial.as_mut()) {
            (Place::Input(range), _) => &mut input[range.clone()],
            (Place::KeptMessage, Some(partial)) => &mut partial.message,
            (Place::KeptControl, Some(partial)) => &mut partial.control,
            (_, None) => &mut [],
        }
    }

    /// Bytes that are kept.
    pub(crate) fn kept_bytes(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| {
            size_of::<Partial>() + partial.message.capacity() + partial.control.capacity()
        })
    }

    /// Gives memory back once nothing is incomplete.
    fn release(&mut self) {
        let Some(partial) = self.partial.as_mut() else { return };
        match partial.handed_out.take() {
            Some(HandedOut::Control) => partial.control = Vec::new(),
            Some(HandedOut::Message) => partial.message = Vec::new(),
            None => {}
        }
        if partial.frame.is_none() && partial.message_opcode.is_none() && partial.header_bytes == 0
        {
            self.partial = None;
        }
    }

    fn partial(&mut self) -> &mut Partial {
        self.partial.get_or_insert_default()
    }

    fn next_header(&mut self, input: &[u8], at: &mut usize) -> Result<Option<Header>, Fault> {
        let rest = &input[*at..];
        let kept = self.partial.as_ref().map_or(0, |partial| partial.header_bytes);
        if kept == 0 {
            match parse(rest)? {
                Some(header) => {
                    *at += header.header_bytes;
                    return Ok(Some(header));
                }
                None if rest.is_empty() => return Ok(None),
                None => {}
            }
        }
        let partial = self.partial();
        let taken = rest.len().min(CLIENT_HEADER_MAX - kept);
        partial.header[kept..kept + taken].copy_from_slice(&rest[..taken]);
        let Some(header) = parse(&partial.header[..kept + taken])? else {
            partial.header_bytes = kept + taken;
            *at += taken;
            return Ok(None);
        };
        partial.header_bytes = 0;
        *at += header.header_bytes - kept;
        Ok(Some(header))
    }

    /// Refuses frames out of order and messages that would be too big, by their headers.
    fn check(&self, header: &Header, message_max: usize) -> Result<(), Fault> {
        if header.opcode.is_control() {
            return Ok(());
        }
        let partial = self.partial.as_deref();
        let is_inside = partial.is_some_and(|partial| partial.message_opcode.is_some());
        if is_inside != (header.opcode == Opcode::Continuation) {
            return Err(Fault::FragmentOrder);
        }
        let before = match partial {
            Some(partial) if is_inside => partial.message_passed + partial.message.len() as u64,
            _ => 0,
        };
        if header.payload_bytes > (message_max as u64).saturating_sub(before) {
            return Err(Fault::TooBig);
        }
        Ok(())
    }

    /// A frame that lies in the input from its first to its last byte and is a unit by itself.
    fn take_whole(
        &mut self,
        open: &Open,
        input: &mut [u8],
        at: &mut usize,
        units: Units,
    ) -> Result<Option<Unit>, Fault> {
        let header = &open.header;
        let is_unit = header.opcode.is_control()
            || units == Units::Fragments
            || (header.fin == Fin::Last && header.opcode != Opcode::Continuation);
        let Ok(payload_bytes) = usize::try_from(header.payload_bytes) else { return Ok(None) };
        if !is_unit || open.arrived > 0 || payload_bytes > input.len() - *at {
            return Ok(None);
        }
        let range = *at..*at + payload_bytes;
        *at = range.end;
        let payload = &mut input[range.clone()];
        fastwebsockets::unmask(payload, header.mask);
        match (header.opcode, header.fin) {
            (opcode, _) if opcode.is_control() => {}
            (Opcode::Text, Fin::Last) => {
                simdutf8::basic::from_utf8(payload).map_err(|_| Fault::Utf8)?;
            }
            (Opcode::Binary, Fin::Last) => {}
            _ => self.pass_fragment(header, Some(&input[range.clone()]))?,
        }
        Ok(Some(Unit { opcode: header.opcode, fin: header.fin, place: Place::Input(range) }))
    }

    /// Keeps what there is of a frame.
    fn take_part(
        &mut self,
        mut open: Open,
        input: &mut [u8],
        at: &mut usize,
        units: Units,
    ) -> Result<Taken, Fault> {
        let header = open.header;
        let missing = header.payload_bytes - open.arrived;
        let there = input.len() - *at;
        let taken = usize::try_from(missing).map_or(there, |missing| missing.min(there));
        let piece = &mut input[*at..*at + taken];
        *at += taken;
        let mut mask = header.mask;
        mask.rotate_left(usize::try_from(open.arrived % 4).unwrap_or(0));
        fastwebsockets::unmask(piece, mask);
        open.arrived += taken as u64;
        let is_complete = open.arrived == header.payload_bytes;

        let partial = self.partial();
        if header.opcode.is_control() {
            partial.control.reserve_exact(CONTROL_MAX);
            partial.control.extend_from_slice(piece);
        } else {
            partial.message.extend_from_slice(piece);
        }
        if !is_complete {
            partial.frame = Some(open);
            return Ok(Taken::AllInput);
        }
        if header.opcode.is_control() {
            partial.handed_out = Some(HandedOut::Control);
            let Header { opcode, fin, .. } = header;
            return Ok(Taken::Unit(Unit { opcode, fin, place: Place::KeptControl }));
        }
        if units == Units::Fragments {
            partial.handed_out = Some(HandedOut::Message);
            self.pass_fragment(&header, None)?;
            let Header { opcode, fin, .. } = header;
            return Ok(Taken::Unit(Unit { opcode, fin, place: Place::KeptMessage }));
        }
        let opcode = partial.message_opcode.unwrap_or(header.opcode);
        if header.fin == Fin::More {
            partial.message_opcode = Some(opcode);
            return Ok(Taken::Fragment);
        }
        partial.message_opcode = None;
        partial.handed_out = Some(HandedOut::Message);
        if opcode == Opcode::Text {
            simdutf8::basic::from_utf8(&partial.message).map_err(|_| Fault::Utf8)?;
        }
        Ok(Taken::Unit(Unit { opcode, fin: Fin::Last, place: Place::KeptMessage }))
    }

    /// Accounts for a fragment that is handed out by itself: its size, and its part of the text.
    fn pass_fragment(&mut self, header: &Header, payload: Option<&[u8]>) -> Result<(), Fault> {
        let partial = self.partial();
        let opcode = partial.message_opcode.unwrap_or(header.opcode);
        if opcode == Opcode::Text {
            let piece = payload.unwrap_or(&partial.message);
            partial.utf8.push(piece).map_err(|_| Fault::Utf8)?;
            if header.fin == Fin::Last && !partial.utf8.is_complete() {
                return Err(Fault::Utf8);
            }
        }
        if header.fin == Fin::Last {
            partial.message_opcode = None;
            partial.message_passed = 0;
        } else {
            partial.message_opcode = Some(opcode);
            partial.message_passed += header.payload_bytes;
        }
        Ok(())
    }
}

enum Taken {
    Unit(Unit),
    Fragment,
    AllInput,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MASK: [u8; 4] = [0x11, 0x22, 0x33, 0x44];

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload.len() {
            0..126 => bytes.push(0x80 | u8::try_from(payload.len()).unwrap()),
            _ => {
                bytes.push(0x80 | 126);
                bytes.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
            }
        }
        bytes.extend(MASK);
        bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }

    type Piece = (Opcode, Fin, Vec<u8>);

    /// What comes out if the stream arrives in reads of these sizes.
    fn feed(
        stream: &[u8],
        read_bytes: usize,
        units: Units,
        message_max: usize,
    ) -> (Vec<Piece>, Result<(), Fault>, Inbound) {
        let mut inbound = Inbound::default();
        let mut out = Vec::new();
        for read in stream.chunks(read_bytes) {
            let mut input = read.to_vec();
            let mut at = 0;
            loop {
                match inbound.next(&mut input, &mut at, units, message_max) {
                    Ok(Some(unit)) => {
                        let payload = inbound.payload(&mut input, &unit).to_vec();
                        out.push((unit.opcode, unit.fin, payload));
                    }
                    Ok(None) => break,
                    Err(fault) => return (out, Err(fault), inbound),
                }
            }
            assert_eq!(at, input.len());
        }
        (out, Ok(()), inbound)
    }

    fn conversation() -> Vec<u8> {
        [
            frame(0x81, b"{\"op\":\"list\"}"),
            frame(0x01, "half a κό".as_bytes()),
            frame(0x89, b"ping inside"),
            frame(0x00, "σμε".as_bytes()),
            frame(0x80, &[]),
            frame(0x82, &[7; 300]),
            frame(0x8A, &[]),
            frame(0x88, &[0x03, 0xE8]),
        ]
        .concat()
    }

    #[test]
    fn reads_of_any_size_give_the_same_messages_and_keep_nothing() {
        let stream = conversation();
        let expected = vec![
            (Opcode::Text, Fin::Last, b"{\"op\":\"list\"}".to_vec()),
            (Opcode::Ping, Fin::Last, b"ping inside".to_vec()),
            (Opcode::Text, Fin::Last, "half a κόσμε".as_bytes().to_vec()),
            (Opcode::Binary, Fin::Last, vec![7; 300]),
            (Opcode::Pong, Fin::Last, vec![]),
            (Opcode::Close, Fin::Last, vec![0x03, 0xE8]),
        ];
        for read_bytes in 1..=stream.len() {
            let (out, verdict, inbound) = feed(&stream, read_bytes, Units::Messages, 65_536);
            assert_eq!((out, verdict), (expected.clone(), Ok(())), "reads of {read_bytes}");
            // What the very last unit was handed out from goes with the next call.
            assert!(inbound.kept_bytes() < 512);
        }
    }

    #[test]
    fn fragments_come_out_as_they_were_cut() {
        let stream = conversation();
        for read_bytes in 1..=stream.len() {
            let (out, verdict, _) = feed(&stream, read_bytes, Units::Fragments, 65_536);
            assert_eq!(verdict, Ok(()));
            assert_eq!(out.len(), 8);
            assert_eq!(out[1], (Opcode::Text, Fin::More, "half a κό".as_bytes().to_vec()));
            assert_eq!(out[3], (Opcode::Continuation, Fin::More, "σμε".as_bytes().to_vec()));
            assert_eq!(out[4], (Opcode::Continuation, Fin::Last, vec![]));
            assert_eq!(out[5].2, vec![7; 300]);
        }
    }

    #[test]
    fn faults_are_found_however_the_bytes_arrive() {
        let cases = [
            (frame(0x80, b"x"), Fault::FragmentOrder),
            ([frame(0x01, b"x"), frame(0x81, b"y")].concat(), Fault::FragmentOrder),
            (frame(0x81, &[0xFF]), Fault::Utf8),
            ([frame(0x01, &[0xE2, 0x82]), frame(0x80, b"x")].concat(), Fault::Utf8),
            (frame(0x82, &[0; 1001]), Fault::TooBig),
            ([frame(0x02, &[0; 600]), frame(0x80, &[0; 401])].concat(), Fault::TooBig),
        ];
        for (stream, fault) in cases {
            for read_bytes in 1..=stream.len() {
                for units in [Units::Messages, Units::Fragments] {
                    let (_, verdict, _) = feed(&stream, read_bytes, units, 1000);
                    assert_eq!(verdict, Err(fault), "reads of {read_bytes}, {units:?}");
                }
            }
        }
    }

    /// Streams that are mostly frames and sometimes not: header bytes are drawn from those that mean
    /// something more often than chance would.
    fn streams() -> impl Strategy<Value = Vec<u8>> {
        let opcodes = [0x00, 0x01, 0x02, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8A, 0x83, 0xC1, 0x09];
        let valid =
            (prop::sample::select(opcodes.to_vec()), prop::collection::vec(any::<u8>(), 0..200))
                .prop_map(|(first, payload)| frame(first, &payload));
        let text = (prop::sample::select(vec![0x01, 0x81, 0x00, 0x80]), "\\PC{0,60}")
            .prop_map(|(first, text)| frame(first, text.as_bytes()));
        let garbage = prop::collection::vec(any::<u8>(), 0..20);
        prop::collection::vec(prop_oneof![4 => valid, 4 => text, 1 => garbage], 0..12)
            .prop_map(|frames| frames.concat())
    }

    proptest! {
        #[test]
        fn no_stream_depends_on_how_it_was_cut(
            stream in streams(),
            cut in 1usize..300,
            units in prop::sample::select(vec![Units::Messages, Units::Fragments]),
        ) {
            let (whole, verdict, _) = feed(&stream, stream.len().max(1), units, 300);
            let (pieces, same_verdict, _) = feed(&stream, cut, units, 300);
            prop_assert_eq!(whole, pieces);
            prop_assert_eq!(verdict, same_verdict);
        }
    }
}
