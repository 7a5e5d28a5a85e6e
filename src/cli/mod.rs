//! The command line: floor 7.

pub mod broker;

pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
