//! The binary as a user types it, against a broker of its own on free ports.

mod groups;
mod log;
mod open_files;
mod topics_and_records;
mod usage;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};

/// The command with nothing of this process's environment that a broker would read.
pub fn stratalog(arguments: &[&str]) -> Command {
    clean(Command::new(env!("CARGO_BIN_EXE_stratalog")), arguments)
}

/// The same, after `setup` in a shell.
fn stratalog_after(setup: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{setup} && exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_stratalog")]);
    clean(command, arguments)
}

fn clean(mut command: Command, arguments: &[&str]) -> Command {
    command.args(arguments);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("KAFKA_") || name.starts_with("STRATALOG_") || name == "CLUSTER_ID" {
            command.env_remove(name);
        }
    }
    command
}

/// Runs to the end with `input` on standard input.
pub fn run(arguments: &[&str], input: &str) -> Output {
    let mut child = stratalog(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdin = child.stdin.take().expect("piped");
    // A command that has no use for it may have ended already.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("the binary ends")
}

/// Runs, and wants exit code 0; returns standard output.
pub fn succeed(arguments: &[&str], input: &str) -> String {
    let output = run(arguments, input);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{arguments:?} ended with {:?}\n{out}\n{err}", output.status);
    out
}

/// Runs, and wants this exit code; returns standard error.
pub fn fail(arguments: &[&str], code: i32) -> String {
    let output = run(arguments, "");
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{}\n{err}", text(&output.stdout));
    err
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A broker process, ended with SIGTERM when it goes out of scope.
pub struct Broker {
    child: Child,
    pub kafka: String,
    pub admin: String,
    _directory: tempfile::TempDir,
}

impl Broker {
    /// Starts one and waits for its ready line.
    pub fn start() -> Broker {
        Broker::start_as(stratalog)
    }

    fn start_as(command: impl FnOnce(&[&str]) -> Command) -> Broker {
        let directory = tempfile::tempdir().expect("temporary directory");
        let data = directory.path().join("data");
        let mut child = command(&[
            "--data-dir",
            data.to_str().expect("text"),
            "--listeners",
            "PLAINTEXT://127.0.0.1:0",
            "--admin-listener",
            "127.0.0.1:0",
            "--log-format",
            "json",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the broker starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let ready = loop {
            let line = lines.next().expect("the broker ended before it was ready").expect("text");
            let line: serde_json::Value = serde_json::from_str(&line).expect("JSON lines");
            if line["message"] == "ready" {
                break line;
            }
        };
        // The pipe is read to its end, or the broker would stop at a full one.
        std::thread::spawn(move || lines.for_each(drop));
        let field = |name: &str| ready[name].as_str().unwrap_or_else(|| panic!("{name} in {ready}")).to_owned();
        Broker { kafka: field("address"), admin: field("admin"), child, _directory: directory }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}
