//! What servers of the source send: frames of the replication log in gRPC-web, and lines of Hrana's cursors.

use prost::Message as _;
use turso2neon::source::{
    grpc_web::{self, BodyPart, Decoder, Frame, FrameMessage, HelloResponse},
    hrana::{self, Cell, CellFault, CursorEntry},
    replication,
};

use super::{fuzz, mutate};
use crate::support::Rng;

const PAGE: usize = 4096;

/// A body with an answer to `Hello`, some frames and the trailers; and its messages.
fn body(rng: &mut Rng) -> (Vec<u8>, Vec<Vec<u8>>) {
    let hello = HelloResponse {
        log_id: "6a1c2c3e-0000-4000-8000-000000000001".to_owned(),
        session_token: vec![7; 16],
        current_replication_index: Some(rng.roll()),
    };
    let mut body = grpc_web::encode(&hello);
    let mut messages = vec![hello.encode_to_vec()];
    for number in 0..rng.below(3) {
        let mut data = Vec::new();
        data.extend((number as u64).to_le_bytes());
        data.extend(rng.roll().to_le_bytes());
        data.extend(1_u32.to_le_bytes());
        data.extend(1_u32.to_le_bytes());
        data.resize(24 + PAGE, b'p');
        let frame = FrameMessage { data: data.into() };
        body.extend(grpc_web::encode(&frame));
        messages.push(frame.encode_to_vec());
    }
    let trailers = b"grpc-status:0\r\ngrpc-message:NEED_SNAPSHOT\r\n";
    body.push(0x80);
    body.extend(u32::try_from(trailers.len()).unwrap().to_be_bytes());
    body.extend_from_slice(trailers);
    (body, messages)
}

/// Reads a body that comes in pieces as far as it can be read.
fn read(rng: &mut Rng, body: &[u8]) -> Vec<BodyPart> {
    let mut decoder = Decoder::default();
    let mut parts = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at((1 + rng.below(3000)).min(rest.len()));
        rest = after;
        decoder.push(piece);
        loop {
            match decoder.next_part() {
                Ok(Some(part)) => parts.push(part),
                Ok(None) => break,
                Err(_) => return parts,
            }
        }
    }
    parts
}

#[test]
fn frames_of_the_replication_log() {
    fuzz(|rng| {
        let mut checksums = 0;
        for _ in 0..40 {
            let (mut bytes, messages) = body(rng);
            let parts = read(rng, &bytes);
            let read_messages: Vec<&[u8]> = parts
                .iter()
                .filter_map(|part| if let BodyPart::Message(bytes) = part { Some(bytes.as_ref()) } else { None })
                .collect();
            assert_eq!(read_messages, messages);
            assert!(matches!(parts.last(), Some(BodyPart::Trailers(status)) if status.message == "NEED_SNAPSHOT"));
            let whole = bytes.clone();
            mutate(
                rng,
                &mut bytes,
                &[&whole],
                &[b"\x80\0\0\0\x05", b"\0\xff\xff\xff\xff", b"\x0a\xff\xff\xff\xff\x0f"],
            );
            let parts = read(rng, &bytes);
            assert!(parts.len() <= bytes.len() / 5);
            for part in parts {
                match part {
                    BodyPart::Message(bytes) => {
                        HelloResponse::decode(bytes.clone()).ok();
                        let frame = FrameMessage::decode(bytes.clone()).ok();
                        if let Some(frame) = frame.and_then(|frame| Frame::parse(frame.data, PAGE)) {
                            assert_eq!(frame.page.len(), PAGE);
                            checksums ^= replication::checksum_after(frame.checksum, &frame.page);
                        }
                    }
                    BodyPart::Trailers(status) => {
                        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_ %:.".contains(&byte);
                        assert!(status.message.len() <= 160 && status.message.bytes().all(is_plain), "{status:?}");
                    }
                }
            }
        }
        std::hint::black_box(checksums);
    });
}

/// A value, and how Hrana writes it.
fn cell(rng: &mut Rng) -> (Cell, String) {
    match rng.below(5) {
        0 => (Cell::Null, r#"{"type":"null"}"#.to_owned()),
        1 => {
            let value = rng.roll().cast_signed();
            (Cell::Integer(value), format!(r#"{{"type":"integer","value":"{value}"}}"#))
        }
        2 => {
            let value = f64::from_bits(rng.roll());
            let value = if value.is_finite() { value } else { 0.5 };
            (Cell::Real(value), format!(r#"{{"type":"float","value":{value:?}}}"#))
        }
        3 => {
            let text = rng.pick(&["", "a", "é\n\"\\", "😀", "\u{1}"]);
            (Cell::Text(text.into()), format!(r#"{{"type":"text","value":{}}}"#, serde_json::to_string(text).unwrap()))
        }
        _ => {
            let bytes: Vec<u8> = (0..rng.below(9)).map(|_| u8::try_from(rng.below(256)).unwrap()).collect();
            let digits = hrana::base64_bare(&bytes);
            (Cell::Blob(bytes), format!(r#"{{"type":"blob","base64":"{digits}"}}"#))
        }
    }
}

const LINES: [&str; 7] = [
    r#"{"baton":null,"base_url":null}"#,
    r#"{"type":"step_begin","step":0,"cols":[{"name":"a","decltype":"INTEGER"}]}"#,
    r#"{"type":"step_end","affected_row_count":0,"last_insert_rowid":"1"}"#,
    r#"{"type":"step_error","step":1,"error":{"message":"no such table: secret","code":"SQLITE_ERROR"}}"#,
    r#"{"type":"error","error":{"message":"secret","code":"STREAM_EXPIRED"}}"#,
    r#"{"type":"replication_index","replication_index":"17"}"#,
    r#"{"type":"row","row":[{"type":"integer","value":"1"},{"type":"text","value":"x"}]}"#,
];

const WORDS: [&[u8]; 14] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b",",
    b":",
    b"null",
    b"1e999",
    b"-0",
    b"\\ud800",
    b"\"type\"",
    b"\"row\"",
    b"99999999999999999999",
];

/// Reads a line, and all that is in it.
fn read_line(line: &[u8]) -> Option<Vec<Result<Cell, CellFault>>> {
    match hrana::parse_entry(line)? {
        CursorEntry::Row(cells) => Some(cells.iter().map(hrana::WireCell::decode).collect()),
        CursorEntry::StepError { code } | CursorEntry::Fatal { code } => {
            assert!(
                code.len() <= 48 && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'),
                "{code}"
            );
            None
        }
        _ => None,
    }
}

#[test]
fn lines_of_cursors() {
    fuzz(|rng| {
        for _ in 0..500 {
            let cells: Vec<(Cell, String)> = (0..rng.below(5)).map(|_| cell(rng)).collect();
            let texts: Vec<&str> = cells.iter().map(|(_, text)| text.as_str()).collect();
            let row = format!(r#"{{"type":"row","row":[{}]}}"#, texts.join(","));
            let decoded: Vec<Cell> = read_line(row.as_bytes()).unwrap().into_iter().map(Result::unwrap).collect();
            assert!(decoded.iter().zip(&cells).all(|(read, (sent, _))| read == sent), "{row}");
            assert_eq!(decoded.len(), cells.len());
            let mut line = if rng.once_in(2) { row.clone() } else { rng.pick(&LINES).to_owned() }.into_bytes();
            let others: Vec<&[u8]> = LINES.iter().map(|line| line.as_bytes()).collect();
            mutate(rng, &mut line, &others, &WORDS);
            read_line(&line);
            for cell in read_line(&line).into_iter().flatten().flatten() {
                assert!(!matches!(cell, Cell::Real(number) if !number.is_finite()));
                hrana::from_safe(cell).ok();
            }
            let pipeline = format!(
                r#"{{"baton":null,"results":[{{"type":"ok","response":{{"type":"execute","result":{{"rows":[[{}]]}}}}}}]}}"#,
                texts.join(",")
            );
            assert!(hrana::parse_pipeline(pipeline.as_bytes(), 1).is_some(), "{pipeline}");
            let mut pipeline = pipeline.into_bytes();
            mutate(rng, &mut pipeline, &[row.as_bytes()], &WORDS);
            drop(hrana::parse_pipeline(&pipeline, rng.below(3)));
        }
    });
}

#[test]
fn lines_that_are_deep_are_refused_without_deep_recursion() {
    for deep in ["[", r#"{"type":"row","row":["#, r#"{"baton":"#] {
        assert!(hrana::parse_entry(deep.repeat(200_000).as_bytes()).is_none());
    }
}
