//! The filter's configuration: JSON in the shape of Envoy's Wasm filter, so that a block
//! moves over unchanged.
//!
//! Both `envoy.extensions.wasm.v3.PluginConfig` and the Wasm filter's wrapper around it
//! (`config:`) are taken. Unknown fields are refused by name.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use rust_wasm::Limits;
use serde::Deserialize;
use serde_json::Value;

pub mod node;
mod raw;

use raw::{RawCode, RawEnvironment, RawFilter, RawPlugin, RawSource, RawVm};

/// What went wrong with a configuration, in a sentence that names the field.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

fn wrong<T>(message: impl Into<String>) -> Result<T, ConfigError> {
    Err(ConfigError(message.into()))
}

/// A plugin's configuration, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginConfig {
    /// `name`
    pub name: String,
    /// `root_id`
    pub root_id: String,
    /// `configuration`, as the plugin sees it.
    pub configuration: Vec<u8>,
    /// `vm_config`
    pub vm: VmConfig,
    /// `limits`, which Envoy's own filter does not have: those of the VM.
    pub limits: Limits,
    /// `failure_policy`, or what `fail_open` means.
    pub failure_policy: FailurePolicy,
    /// `fail_open`: unlike `failure_policy: FAIL_OPEN`, which answers the streams that the
    /// VM failed with 503, the old field lets them pass too.
    pub passes_failed_streams: bool,
    /// `reload_config.backoff.base_interval`
    pub reload_interval: Duration,
    /// `capability_restriction_config`; `None` allows everything.
    pub allowed_capabilities: Option<HashSet<String>>,
    /// `allow_on_headers_stop_iteration`
    pub allow_on_headers_stop_iteration: bool,
}

/// A VM's configuration, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct VmConfig {
    /// `vm_id`
    pub vm_id: String,
    /// `code.local`
    pub code: Code,
    /// `configuration`, as the plugin sees it.
    pub configuration: Vec<u8>,
    /// `allow_precompiled`
    pub allow_precompiled: bool,
    /// `environment_variables`, with the host's looked up.
    pub environment: Vec<(String, String)>,
}

/// Where the code is.
#[derive(Clone, Debug, PartialEq)]
pub enum Code {
    /// In a file.
    File(String),
    /// Here.
    Inline(Vec<u8>),
}

/// What happens to streams when the plugin's VM has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FailurePolicy {
    /// As `FAIL_CLOSED`.
    Unspecified,
    /// They fail, and later ones get a fresh VM.
    FailReload,
    /// They fail.
    FailClosed,
    /// They pass the plugin by.
    FailOpen,
}

impl PluginConfig {
    /// Reads a configuration.
    ///
    /// # Errors
    /// If a field is unknown, missing or wrong.
    pub fn parse(json: &[u8]) -> Result<Self, ConfigError> {
        if json.is_empty() {
            return wrong("filter_config is missing");
        }
        let json_error = |error: serde_json::Error| ConfigError(format!("filter_config: {error}"));
        let value: Value = serde_json::from_slice(json).map_err(json_error)?;
        let raw: RawPlugin = if value.get("config").is_some() {
            RawFilter::deserialize(value).map_err(json_error)?.config
        } else {
            RawPlugin::deserialize(value).map_err(json_error)?
        };
        raw.check()
    }
}

impl RawPlugin {
    fn check(self) -> Result<PluginConfig, ConfigError> {
        let failure_policy = match self.failure_policy {
            Some(FailurePolicy::Unspecified) | None if self.fail_open => FailurePolicy::FailOpen,
            Some(FailurePolicy::Unspecified) | None => FailurePolicy::FailClosed,
            Some(_) if self.fail_open => {
                return wrong("only one of fail_open and failure_policy can be set");
            }
            Some(policy) => policy,
        };
        let interval = self
            .reload_config
            .and_then(|it| it.backoff)
            .and_then(|it| it.base_interval);
        let reload_interval = match interval {
            None => Duration::from_secs(1),
            Some(text) => match duration(&text) {
                Some(interval) => interval,
                None => {
                    return wrong(format!(
                        "reload_config.backoff.base_interval is not a duration such as \"1s\": {text:?}"
                    ));
                }
            },
        };
        // As in Envoy, an empty map allows everything.
        let allowed: HashSet<String> = self
            .capability_restriction_config
            .map(|it| it.allowed_capabilities.into_keys().collect())
            .unwrap_or_default();
        Ok(PluginConfig {
            name: self.name,
            root_id: self.root_id,
            configuration: any("configuration", self.configuration)?,
            vm: self.vm_config.check()?,
            limits: self.limits,
            failure_policy,
            passes_failed_streams: self.fail_open,
            reload_interval,
            allowed_capabilities: (!allowed.is_empty()).then_some(allowed),
            allow_on_headers_stop_iteration: self.allow_on_headers_stop_iteration,
        })
    }
}

impl RawVm {
    fn check(self) -> Result<VmConfig, ConfigError> {
        // A block written for another engine runs on this one.
        let runtime = self.runtime.strip_prefix("envoy.wasm.runtime.");
        if !self.runtime.is_empty() && matches!(runtime, None | Some("null")) {
            return wrong(format!(
                "vm_config.runtime is none that runs WebAssembly: {:?}",
                self.runtime
            ));
        }
        Ok(VmConfig {
            vm_id: self.vm_id,
            code: self.code.check()?,
            configuration: any("vm_config.configuration", self.configuration)?,
            allow_precompiled: self.allow_precompiled,
            environment: environment(self.environment_variables)?,
        })
    }
}

impl RawCode {
    fn check(self) -> Result<Code, ConfigError> {
        const FIELD: &str = "vm_config.code";
        if self.remote.is_some() {
            return wrong(format!(
                "{FIELD}.remote is not supported: give the code as {FIELD}.local"
            ));
        }
        let Some(local) = self.local else {
            return wrong(format!("{FIELD}.local is missing"));
        };
        match local {
            RawSource {
                filename: Some(filename),
                inline_string: None,
                inline_bytes: None,
                environment_variable: None,
            } => Ok(Code::File(filename)),
            RawSource {
                filename: None,
                inline_string: Some(text),
                inline_bytes: None,
                environment_variable: None,
            } => Ok(Code::Inline(text.into_bytes())),
            RawSource {
                filename: None,
                inline_string: None,
                inline_bytes: Some(text),
                environment_variable: None,
            } => Ok(Code::Inline(bytes(
                "vm_config.code.local.inline_bytes",
                &text,
            )?)),
            RawSource {
                filename: None,
                inline_string: None,
                inline_bytes: None,
                environment_variable: Some(name),
            } => match std::env::var(&name) {
                Ok(text) => Ok(Code::Inline(text.into_bytes())),
                Err(error) => wrong(format!(
                    "{FIELD}.local.environment_variable {name}: {error}"
                )),
            },
            _ => wrong(format!(
                "{FIELD}.local needs exactly one of filename, inline_string, inline_bytes and \
                 environment_variable"
            )),
        }
    }
}

fn environment(raw: Option<RawEnvironment>) -> Result<Vec<(String, String)>, ConfigError> {
    let Some(raw) = raw else {
        return Ok(Vec::new());
    };
    let mut variables = raw.key_values;
    for name in raw.host_env_keys {
        if variables.contains_key(&name) {
            return wrong(format!(
                "vm_config.environment_variables has the key {name} twice"
            ));
        }
        if let Ok(value) = std::env::var(&name) {
            variables.insert(name, value);
        }
    }
    Ok(variables.into_iter().collect())
}

/// What a plugin sees of a `google.protobuf.Any`: a string's or byte string's value, a
/// struct as JSON.
fn any(field: &str, value: Option<Value>) -> Result<Vec<u8>, ConfigError> {
    let mut object = match value {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Object(object)) => object,
        Some(_) => return wrong(format!("{field} must be a google.protobuf.Any")),
    };
    let Some(Value::String(url)) = object.remove("@type") else {
        return wrong(format!("{field} has no @type"));
    };
    let name = url.rsplit('/').next().unwrap_or_default().to_owned();
    let value = object.remove("value").unwrap_or(Value::Null);
    if let Some(other) = object.keys().next() {
        return wrong(format!("{field}: unknown field {other:?} in a {name}"));
    }
    match (name.as_str(), value) {
        ("google.protobuf.StringValue" | "google.protobuf.BytesValue", Value::Null) => {
            Ok(Vec::new())
        }
        ("google.protobuf.StringValue", Value::String(text)) => Ok(text.into_bytes()),
        ("google.protobuf.BytesValue", Value::String(text)) => bytes(field, &text),
        ("google.protobuf.Struct", Value::Null) => Ok(b"{}".to_vec()),
        ("google.protobuf.Struct", value @ Value::Object(_)) => Ok(value.to_string().into_bytes()),
        (
            "google.protobuf.StringValue" | "google.protobuf.BytesValue" | "google.protobuf.Struct",
            _,
        ) => wrong(format!("{field}: the value does not fit {name}")),
        _ => wrong(format!(
            "{field}: {name} is not supported; use google.protobuf.StringValue, \
             google.protobuf.BytesValue or google.protobuf.Struct"
        )),
    }
}

fn bytes(field: &str, text: &str) -> Result<Vec<u8>, ConfigError> {
    // Protobuf's JSON has the standard alphabet, and padding is optional.
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const STANDARD: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);
    STANDARD
        .decode(text)
        .or_else(|error| wrong(format!("{field} is not base64: {error}")))
}

/// A duration in protobuf's JSON form, such as `1.5s`.
fn duration(text: &str) -> Option<Duration> {
    let seconds: f64 = text.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests;
