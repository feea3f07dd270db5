//! Configurations that are taken, and mistakes that are named.

use super::*;

fn parse(json: &str) -> Result<PluginConfig, String> {
    PluginConfig::parse(json.as_bytes()).map_err(|error| error.to_string())
}

fn plugin(json: &str) -> PluginConfig {
    parse(json).expect("it is right")
}

#[track_caller]
fn refused(json: &str, word: &str) {
    let error = parse(json).expect_err("it is wrong");
    assert!(error.contains(word), "{error}");
}

#[test]
fn a_block_of_the_wasm_filter_is_taken() {
    let config = plugin(
        r#"{"@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": {
              "name": "n", "root_id": "r", "failure_policy": "FAIL_RELOAD",
              "reload_config": {"backoff": {"base_interval": "0.5s"}},
              "allow_on_headers_stop_iteration": true,
              "capability_restriction_config": {"allowed_capabilities": {"proxy_log": {}}},
              "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": "c"},
              "vm_config": {
                "vm_id": "v", "runtime": "envoy.wasm.runtime.v8", "allow_precompiled": true,
                "configuration": {"@type": "type.googleapis.com/google.protobuf.BytesValue", "value": "AAE="},
                "environment_variables": {"key_values": {"A": "1"}, "host_env_keys": ["NO_SUCH_VARIABLE"]},
                "code": {"local": {"filename": "/p.wasm"}}}}}"#,
    );
    assert_eq!(config.name, "n");
    assert_eq!(config.root_id, "r");
    assert_eq!(config.failure_policy, FailurePolicy::FailReload);
    assert_eq!(config.reload_interval, Duration::from_millis(500));
    assert!(config.allow_on_headers_stop_iteration);
    let capabilities = config.allowed_capabilities.expect("there are some");
    assert!(capabilities.contains("proxy_log") && capabilities.len() == 1);
    assert_eq!(config.configuration, b"c");
    assert_eq!(config.vm.vm_id, "v");
    assert!(config.vm.allow_precompiled);
    assert_eq!(config.vm.configuration, [0, 1]);
    assert_eq!(config.vm.environment, [("A".into(), "1".into())]);
    assert_eq!(config.vm.code, Code::File("/p.wasm".into()));
}

#[test]
fn limits_stand_beside_the_vms_configuration() {
    let limits = r#"{"max_memory_bytes": 65536, "call_deadline_ms": 20}"#;
    let config = plugin(&format!("{{\"limits\": {limits}, {CODE}}}"));
    assert_eq!(config.limits.max_memory_bytes, Some(65536));
    assert_eq!(config.limits.call_deadline_ms, Some(20));
    assert_eq!(config.limits.guest_stack_bytes, None);
    for (limits, word) in [
        (r#"{"max_memory": 1}"#, "max_memory"),
        (r#"{"max_memory_bytes": "much"}"#, "much"),
        (r#"{"guest_stack_bytes": 1}"#, "out of range"),
    ] {
        refused(&format!("{{\"limits\": {limits}, {CODE}}}"), word);
    }
}

const CODE: &str = r#""vm_config": {"code": {"local": {"inline_string": "x"}}}"#;

#[test]
fn what_is_left_out_has_the_defaults_of_envoy() {
    let config = plugin(&format!("{{{CODE}}}"));
    assert_eq!(config.failure_policy, FailurePolicy::FailClosed);
    assert_eq!(config.reload_interval, Duration::from_secs(1));
    assert_eq!(config.allowed_capabilities, None);
    assert_eq!(config.vm.code, Code::Inline(b"x".to_vec()));
    let open = plugin(&format!("{{\"fail_open\": true, {CODE}}}"));
    assert_eq!(open.failure_policy, FailurePolicy::FailOpen);
    assert!(open.passes_failed_streams && !config.passes_failed_streams);
    let camel = plugin(r#"{"vmConfig": {"code": {"local": {"inlineBytes": "eA"}}}}"#);
    assert_eq!(camel.vm.code, Code::Inline(b"x".to_vec()));
}

#[test]
fn a_struct_is_given_as_json() {
    let config = plugin(&format!(
        r#"{{"configuration": {{"@type": "google.protobuf.Struct", "value": {{"b": [1, true], "a": "x"}}}}, {CODE}}}"#
    ));
    assert_eq!(config.configuration, br#"{"a":"x","b":[1,true]}"#);
}

#[test]
fn mistakes_are_named() {
    refused("", "missing");
    refused("{", "EOF");
    refused("{}", "vm_config");
    refused(&format!("{{\"rootid\": \"\", {CODE}}}"), "rootid");
    refused(&format!("{{\"failure_policy\": \"X\", {CODE}}}"), "X");
    refused(
        &format!("{{\"fail_open\": true, \"failure_policy\": \"FAIL_OPEN\", {CODE}}}"),
        "only one",
    );
    refused(
        &format!("{{\"reload_config\": {{\"backoff\": {{\"base_interval\": \"1\"}}}}, {CODE}}}"),
        "base_interval",
    );
    refused(r#"{"vm_config": {}}"#, "code");
    refused(r#"{"vm_config": {"code": {}}}"#, "code.local");
    refused(r#"{"vm_config": {"code": {"remote": {}}}}"#, "remote");
    refused(r#"{"vm_config": {"code": {"local": {}}}}"#, "exactly one");
    refused(
        r#"{"vm_config": {"code": {"local": {"inline_bytes": "?"}}}}"#,
        "inline_bytes",
    );
    refused(
        r#"{"vm_config": {"runtime": "envoy.wasm.runtime.null", "code": {"local": {"filename": "x"}}}}"#,
        "runtime",
    );
    let any = |any: &str| format!("{{\"configuration\": {any}, {CODE}}}");
    refused(&any("1"), "Any");
    refused(&any("{}"), "@type");
    refused(
        &any(r#"{"@type": "google.protobuf.Int32Value", "value": 1}"#),
        "Int32Value",
    );
    refused(
        &any(r#"{"@type": "google.protobuf.StringValue", "value": 1}"#),
        "StringValue",
    );
    refused(
        &any(r#"{"@type": "google.protobuf.StringValue", "v": "1"}"#),
        "\"v\"",
    );
}
