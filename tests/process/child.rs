//! A test in a process of its own: this program, started again.

use std::process::{Command, Output};

/// Set in the child to the name of the test that it is to run.
const CHILD: &str = "RUST_WASM_TEST_CHILD";

/// Names what starts programs of another machine's, an emulator and its arguments.
const RUNNER: &str = "RUST_WASM_TEST_RUNNER";

/// This program, to be started.
fn this_program() -> Command {
    let program = std::env::current_exe().expect("this program");
    let runner = std::env::var(RUNNER).unwrap_or_default();
    let mut words = runner.split_whitespace();
    let Some(emulator) = words.next() else {
        return Command::new(program);
    };
    let mut command = Command::new(emulator);
    command.args(words).arg(program);
    command
}

/// Runs `body` in a child, and `judge` on how it ended.
pub(crate) fn in_child(
    test: &str,
    variables: &[(&str, &str)],
    body: impl FnOnce(),
    judge: impl FnOnce(&Output),
) {
    if std::env::var(CHILD).is_ok_and(|it| it == test) {
        // A child that hangs is killed, for its parent waits.
        // SAFETY: plain call.
        unsafe { libc::alarm(120) };
        body();
        return;
    }
    let output = this_program()
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, test)
        .envs(variables.iter().copied())
        .output()
        .expect("starts");
    judge(&output);
}

/// As [`in_child`], which must succeed. A misspelt name would run no test, and succeed too.
pub(crate) fn alone(test: &str, variables: &[(&str, &str)], body: impl FnOnce()) {
    in_child(test, variables, body, |output| {
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && said.contains("test result: ok. 1 passed"),
            "{}\n{said}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    });
}
