//! `jwtctl`: see the library.

fn main() -> std::process::ExitCode {
    jwtctl::main()
}
