//! The configuration's shape in JSON, as `envoy.extensions.wasm.v3.PluginConfig` has it.
//! Both of protobuf's spellings of a field are taken; an unknown field is an error that
//! names it.

use std::collections::BTreeMap;

use rust_wasm::Limits;
use serde::Deserialize;
use serde_json::Value;

use super::FailurePolicy;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFilter {
    #[serde(rename = "@type")]
    pub(super) _type: Option<String>,
    pub(super) config: RawPlugin,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPlugin {
    #[serde(rename = "@type")]
    pub(super) _type: Option<String>,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default, alias = "rootId")]
    pub(super) root_id: String,
    #[serde(alias = "vmConfig")]
    pub(super) vm_config: RawVm,
    /// Not Envoy's.
    #[serde(default)]
    pub(super) limits: Limits,
    pub(super) configuration: Option<Value>,
    #[serde(default, alias = "failOpen")]
    pub(super) fail_open: bool,
    #[serde(alias = "failurePolicy")]
    pub(super) failure_policy: Option<FailurePolicy>,
    #[serde(alias = "reloadConfig")]
    pub(super) reload_config: Option<RawReload>,
    #[serde(alias = "capabilityRestrictionConfig")]
    pub(super) capability_restriction_config: Option<RawCapabilities>,
    #[serde(default, alias = "allowOnHeadersStopIteration")]
    pub(super) allow_on_headers_stop_iteration: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawVm {
    #[serde(default, alias = "vmId")]
    pub(super) vm_id: String,
    #[serde(default)]
    pub(super) runtime: String,
    pub(super) code: RawCode,
    pub(super) configuration: Option<Value>,
    #[serde(default, alias = "allowPrecompiled")]
    pub(super) allow_precompiled: bool,
    /// For remote code.
    #[serde(
        default,
        alias = "nackOnCodeCacheMiss",
        rename = "nack_on_code_cache_miss"
    )]
    pub(super) _nack_on_code_cache_miss: bool,
    #[serde(alias = "environmentVariables")]
    pub(super) environment_variables: Option<RawEnvironment>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCode {
    pub(super) local: Option<RawSource>,
    pub(super) remote: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSource {
    pub(super) filename: Option<String>,
    #[serde(alias = "inlineString")]
    pub(super) inline_string: Option<String>,
    #[serde(alias = "inlineBytes")]
    pub(super) inline_bytes: Option<String>,
    #[serde(alias = "environmentVariable")]
    pub(super) environment_variable: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEnvironment {
    #[serde(default, alias = "hostEnvKeys")]
    pub(super) host_env_keys: Vec<String>,
    #[serde(default, alias = "keyValues")]
    pub(super) key_values: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawReload {
    pub(super) backoff: Option<RawBackoff>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBackoff {
    #[serde(alias = "baseInterval")]
    pub(super) base_interval: Option<String>,
    #[serde(alias = "maxInterval", rename = "max_interval")]
    pub(super) _max_interval: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCapabilities {
    #[serde(default, alias = "allowedCapabilities")]
    pub(super) allowed_capabilities: BTreeMap<String, RawSanitization>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSanitization {}
