//! Whole plugins, built with their SDKs, through the life of a request.

use adaptor_tests::*;
use cxx::UniquePtr;
use std::time::Duration;

const PLUGINS: [&str; 2] = ["rust-sdk", "assemblyscript"];

/// A plugin with its root context, id 1, configured.
fn configured(name: &str, configuration: &str, limits: &Limits) -> UniquePtr<Vm> {
    let vm = linked(&plugin(name), limits);
    assert!(vm.call_void("_initialize", &[]));
    vm.set_configuration(configuration);
    assert!(vm.call_void("proxy_on_context_create", &[1, 0]));
    assert_eq!(vm.value("proxy_on_vm_start", &[1, 0]), 1);
    vm.value("proxy_on_configure", &[1, configuration.len() as u64]);
    vm
}

/// The same with a request's context, id 2, whose headers ask for `misbehaviour`.
fn requested(name: &str, misbehaviour: &str, limits: &Limits) -> UniquePtr<Vm> {
    let vm = configured(name, "", limits);
    assert!(vm.call_void("proxy_on_context_create", &[2, 1]));
    vm.set_header("x-do", misbehaviour);
    vm.value("proxy_on_request_headers", &[2, 1, 0]);
    vm
}

#[track_caller]
fn assert_logged(vm: &Vm, text: &str) {
    let log = vm.plugin_log();
    assert!(
        log.iter().any(|line| line.contains(text)),
        "no '{text}' in {log:#?}"
    );
}

#[test]
fn a_request_from_start_to_end() {
    for name in PLUGINS {
        let vm = configured(name, "some text", &Limits::default());
        assert_logged(&vm, "configured with 'some text'");

        assert!(vm.call_void("proxy_on_context_create", &[2, 1]));
        vm.set_header(":path", "/index");
        assert_eq!(vm.value("proxy_on_request_headers", &[2, 1, 0]), 0);
        assert_logged(&vm, "path /index");
        assert_eq!(vm.header("x-plugin"), "some text");

        vm.set_body("a body");
        assert_eq!(vm.value("proxy_on_request_body", &[2, 6, 1]), 0);
        assert_logged(&vm, "body of 6");
        assert_eq!(vm.body(), "A BODY");

        assert_eq!(vm.value("proxy_on_done", &[2]), 1);
        assert!(vm.call_void("proxy_on_log", &[2]));
        assert_logged(&vm, "log");
        assert!(vm.call_void("proxy_on_delete", &[2]));
        assert!(vm.errors().is_empty(), "{name}: {:?}", vm.errors());
    }
}

/// Not for AssemblyScript, whose SDK does not find a root context in `proxy_on_done`.
#[test]
fn the_root_context_is_done() {
    let vm = configured("rust-sdk", "", &Limits::default());
    assert_eq!(vm.value("proxy_on_done", &[1]), 1);
    assert_logged(&vm, "root done");
}

#[test]
fn a_configuration_may_be_refused() {
    for name in PLUGINS {
        let vm = configured(name, "refuse", &Limits::default());
        assert_eq!(vm.value("proxy_on_configure", &[1, 6]), 0);
        assert!(!vm.failed());
    }
}

#[test]
fn logs_of_every_level_arrive() {
    let vm = configured("rust-sdk", "", &Limits::default());
    assert!(vm.call_void("proxy_on_context_create", &[2, 1]));
    vm.set_header("name", "value");
    vm.value("proxy_on_request_headers", &[2, 1, 0]);
    assert!(vm.call_void("proxy_on_log", &[2]));
    for level in 0..5 {
        assert_logged(&vm, &format!("{level}: "));
    }
}

#[test]
fn a_panic_is_a_trap_with_a_symbolised_backtrace() {
    let vm = requested("rust-sdk", "panic", &Limits::default());
    assert_logged(&vm, "asked to panic");
    let error = vm.error();
    assert!(
        error.starts_with("7: Function: proxy_on_request_headers failed: "),
        "{error}"
    );
    assert!(error.contains("unreachable"), "{error}");
    assert!(
        error.contains("Proxy-Wasm plugin in-VM backtrace:"),
        "{error}"
    );
    assert!(
        error.contains(" - rust_sdk_plugin::panic_on_request"),
        "{error}"
    );
}

#[test]
fn an_exception_in_assemblyscript_is_a_trap() {
    let vm = requested("assemblyscript", "panic", &Limits::default());
    assert_logged(&vm, "asked to panic");
    assert!(vm.error().starts_with(RUNTIME), "{}", vm.error());
}

#[test]
fn a_plugin_that_grows_without_end_meets_the_limit() {
    for name in PLUGINS {
        let limits = Limits {
            memory_bytes: 16 << 20,
            ..Limits::default()
        };
        let vm = requested(name, "grow", &limits);
        assert!(vm.memory_size() <= 16 << 20);
        assert!(vm.memory_size() > 8 << 20, "{name}: {}", vm.memory_size());
        assert!(vm.error().starts_with(RUNTIME), "{}", vm.error());
    }
}

#[test]
fn a_plugin_that_spins_meets_the_deadline() {
    for name in PLUGINS {
        let limits = Limits {
            deadline_ms: 100,
            ..Limits::default()
        };
        let start = std::time::Instant::now();
        let vm = requested(name, "spin", &limits);
        assert!(start.elapsed() < Duration::from_secs(30));
        assert!(vm.error().starts_with(RUNTIME), "{}", vm.error());
    }
}

#[test]
fn a_plugin_that_recurses_without_end_meets_the_stacks_limit() {
    let vm = requested("rust-sdk", "recurse", &Limits::default());
    assert!(vm.error().starts_with(RUNTIME), "{}", vm.error());
    assert!(vm.error().contains("recurse_without_end"), "{}", vm.error());
}

#[test]
fn a_clone_serves_after_its_origin_trapped() {
    let vm = requested("rust-sdk", "panic", &Limits::default());
    assert!(vm.failed());
    let clone = vm.clone_vm();
    register(&clone);
    assert!(clone.link("clone"));
    assert!(clone.call_void("_initialize", &[]));
    assert!(clone.call_void("proxy_on_context_create", &[1, 0]));
    assert_eq!(clone.value("proxy_on_configure", &[1, 0]), 1);
    assert!(!clone.failed());
}
