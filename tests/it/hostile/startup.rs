//! A server that sends more than a PostgreSQL server does before there is a session.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::support::{fixture::Workspace, tool::Run};

/// What the server does with a connection.
#[derive(Clone, Copy)]
enum Conduct {
    /// Sends these bytes at once, and keeps the connection open.
    Says(&'static [u8]),
    /// Reads first, declines TLS where it is asked for, and then sends.
    Answers(&'static [u8]),
    /// Sends the bytes again and again.
    Repeats(&'static [u8]),
}

/// The port of a server that does this with every connection; it ends with the test process.
fn server(conduct: Conduct) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let kept = Arc::new(Mutex::new(Vec::new()));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let kept = Arc::clone(&kept);
            std::thread::spawn(move || {
                conduct.serve(&mut stream);
                kept.lock().unwrap().push(stream);
            });
        }
    });
    port
}

impl Conduct {
    fn serve(self, stream: &mut TcpStream) {
        let mut asked = [0; 4096];
        match self {
            Self::Says(bytes) => {
                stream.write_all(bytes).ok();
            }
            Self::Answers(bytes) => {
                let length = stream.read(&mut asked).unwrap_or(0);
                // A request for TLS has 8 bytes.
                if length == 8 {
                    stream.write_all(b"N").ok();
                    drop(stream.read(&mut asked));
                }
                stream.write_all(bytes).ok();
            }
            Self::Repeats(bytes) => {
                drop(stream.read(&mut asked));
                while stream.write_all(bytes).is_ok() {}
            }
        }
    }
}

fn rollback(conduct: Conduct, parameters: &str) -> Run {
    let space = Workspace::new();
    let url = format!("postgresql://u:pw@127.0.0.1:{}/d?{parameters}", server(conduct));
    let timeout = Duration::from_secs(20);
    space.tool("rollback").args(["--target", &url, "--json"]).timeout(timeout).run().expect_exit(7)
}

/// 2,147,483,647 bytes.
const HUGE: &[u8] = b"E\x7f\xff\xff\xffSFATAL\0";
const HUGE_AFTER_AUTHENTICATION: &[u8] = b"R\0\0\0\x08\0\0\0\0S\x7f\xff\xff\xffx";
const NOTICE: &[u8] = b"N\0\0\0\x10SNOTICE\0C00000\0";

#[test]
fn a_huge_message_before_the_session_ends_the_connection_at_once() {
    let cases = [
        (Conduct::Says(HUGE), "sslmode=disable"),
        (Conduct::Answers(HUGE), "sslmode=prefer"),
        (Conduct::Answers(HUGE_AFTER_AUTHENTICATION), "sslmode=disable"),
        (Conduct::Answers(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "sslmode=disable"),
        (Conduct::Repeats(NOTICE), "sslmode=disable"),
    ];
    for (conduct, parameters) in cases {
        let run = rollback(conduct, parameters);
        let error = run.last_json();
        assert_eq!(error["code"], "target-unreachable", "{error}");
        assert!(error["message"].as_str().unwrap().contains("before the session was established"), "{error}");
        assert!(error["hint"].as_str().unwrap().contains("host and port"), "{error}");
        assert!(run.elapsed < Duration::from_secs(5), "{:?}", run.elapsed);
    }
}
