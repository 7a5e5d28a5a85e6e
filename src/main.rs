//! The `stratalog` binary: everything lives in the library.
fn main() -> std::process::ExitCode {
    stratalog::cli::main()
}
