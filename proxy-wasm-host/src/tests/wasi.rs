//! WASI, as guest toolchains use it when they start.

use super::*;

fn tick(imports: &str, body: &str) -> Vec<String> {
    let guest = Guest::new(
        imports,
        &format!(r#"(func (export "proxy_on_tick") (param i32) {body})"#),
    );
    guest.vm.tick(guest.root);
    let strip = |note: &String| note.replace(" wasm log", "");
    guest.notes.take().iter().map(strip).collect()
}

#[test]
fn output_is_logged() {
    let notes = tick(
        r#"(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))"#,
        r#"(i32.store (i32.const 100) (i32.const 200)) (i32.store (i32.const 104) (i32.const 2))
        (i32.store (i32.const 108) (i32.const 201)) (i32.store (i32.const 112) (i32.const 2))
        (i32.store (i32.const 200) (i32.const 0x0a6261))
        (call $digit (call $write (i32.const 1) (i32.const 100) (i32.const 2) (i32.const 116)))
        (call $digit (i32.load (i32.const 116)))
        (drop (call $write (i32.const 2) (i32.const 100) (i32.const 1) (i32.const 116)))
        (call $digit (call $write (i32.const 3) (i32.const 100) (i32.const 1) (i32.const 116)))
        (drop (call $write (i32.const 1) (i32.const -8) (i32.const 2) (i32.const 116)))"#,
    );
    assert_eq!(
        notes,
        ["Info: abb", "Info: 0", "Info: 4", "Error: ab", "Info: 8"]
    );
}

#[test]
fn environment_clock_and_random() {
    let notes = tick(
        r#"(import "wasi_unstable" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
        (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))"#,
        r#"(call $digit (call $sizes (i32.const 100) (i32.const 104)))
        (call $digit (i32.load (i32.const 100)))
        (call $digit (i32.sub (i32.load (i32.const 104)) (i32.const 5)))
        (call $digit (call $environ (i32.const 120) (i32.const 200)))
        (call $say (i32.load (i32.const 120)) (i32.const 3))
        (call $say (i32.load (i32.const 124)) (i32.const 5))
        (call $digit (call $clock (i32.const 1) (i64.const 0) (i32.const 104)))
        (call $digit (i64.ne (i64.load (i32.const 104)) (i64.const 0)))
        (call $digit (i32.eq (i32.const 58) (call $clock (i32.const 2) (i64.const 0) (i32.const 104))))
        (i64.store (i32.const 104) (i64.const 0))
        (call $digit (call $random (i32.const 104) (i32.const 8)))
        (call $digit (i64.ne (i64.load (i32.const 104)) (i64.const 0)))
        (call $digit (i32.eq (i32.const 28) (call $random (i32.const 104) (i32.const 65537))))"#,
    );
    let notes: Vec<_> = notes.iter().map(|it| it.replace("Info: ", "")).collect();
    assert_eq!(
        notes,
        [
            "0", "2", "5", "0", "A=1", "BC=23", "0", "1", "1", "0", "1", "1"
        ]
    );
}

/// Every function of preview 1 that a toolchain may import is there, with its type.
#[test]
fn nothing_of_preview_1_is_missing() {
    let functions = [
        "args_get",
        "args_sizes_get",
        "environ_get",
        "environ_sizes_get",
        "clock_res_get",
        "clock_time_get",
        "fd_advise",
        "fd_allocate",
        "fd_close",
        "fd_datasync",
        "fd_fdstat_get",
        "fd_fdstat_set_flags",
        "fd_fdstat_set_rights",
        "fd_filestat_get",
        "fd_filestat_set_size",
        "fd_filestat_set_times",
        "fd_pread",
        "fd_prestat_get",
        "fd_prestat_dir_name",
        "fd_pwrite",
        "fd_read",
        "fd_readdir",
        "fd_renumber",
        "fd_seek",
        "fd_sync",
        "fd_tell",
        "fd_write",
        "path_create_directory",
        "path_filestat_get",
        "path_filestat_set_times",
        "path_link",
        "path_open",
        "path_readlink",
        "path_remove_directory",
        "path_rename",
        "path_symlink",
        "path_unlink_file",
        "poll_oneoff",
        "proc_exit",
        "sched_yield",
        "random_get",
        "sock_accept",
        "sock_recv",
        "sock_send",
        "sock_shutdown",
    ];
    for name in functions {
        assert!(
            crate::hostcalls::find("wasi_snapshot_preview1", name).is_some(),
            "{name}"
        );
    }
}
