//! What Envoy knows of a stream: attributes, metadata, filter state.

use crate::envoy::abi::{self, EnvoyBuffer, MetadataSource};
use crate::http::envoy_filter::EnvoyFilter;

impl EnvoyFilter {
    pub(crate) fn attribute_string(&self, attribute: u32) -> Option<&[u8]> {
        let mut value = EnvoyBuffer::EMPTY;
        // SAFETY: the filter is alive; the out pointer is valid.
        unsafe {
            abi::envoy_dynamic_module_callback_http_filter_get_attribute_string(
                self.as_ptr(),
                attribute,
                &raw mut value,
            )
            .then(|| value.bytes())
        }
    }

    pub(crate) fn attribute_int(&self, attribute: u32) -> Option<u64> {
        let mut value = 0;
        // SAFETY: the filter is alive; the out pointer is valid.
        unsafe {
            abi::envoy_dynamic_module_callback_http_filter_get_attribute_int(
                self.as_ptr(),
                attribute,
                &raw mut value,
            )
        }
        .then_some(value)
    }

    pub(crate) fn attribute_bool(&self, attribute: u32) -> Option<bool> {
        let mut value = false;
        // SAFETY: the filter is alive; the out pointer is valid.
        unsafe {
            abi::envoy_dynamic_module_callback_http_filter_get_attribute_bool(
                self.as_ptr(),
                attribute,
                &raw mut value,
            )
        }
        .then_some(value)
    }

    pub(crate) fn cluster_name(&self) -> Option<&[u8]> {
        let mut value = EnvoyBuffer::EMPTY;
        // SAFETY: the filter is alive; the out pointer is valid.
        unsafe {
            abi::envoy_dynamic_module_callback_http_get_cluster_name(self.as_ptr(), &raw mut value)
                .then(|| value.bytes())
        }
    }

    pub(crate) fn metadata_string(
        &self,
        source: MetadataSource,
        namespace: &[u8],
        key: &[u8],
    ) -> Option<&[u8]> {
        let mut value = EnvoyBuffer::EMPTY;
        // SAFETY: the filter is alive; the out pointer is valid.
        unsafe {
            abi::envoy_dynamic_module_callback_http_get_metadata_string(
                self.as_ptr(),
                source,
                namespace.into(),
                key.into(),
                &raw mut value,
            )
            .then(|| value.bytes())
        }
    }

    pub(crate) fn metadata_number(
        &self,
        source: MetadataSource,
        namespace: &[u8],
        key: &[u8],
    ) -> Option<f64> {
        let mut value = 0.0;
        // SAFETY: the filter is alive; the out pointer is valid.
        unsafe {
            abi::envoy_dynamic_module_callback_http_get_metadata_number(
                self.as_ptr(),
                source,
                namespace.into(),
                key.into(),
                &raw mut value,
            )
        }
        .then_some(value)
    }

    pub(crate) fn metadata_bool(
        &self,
        source: MetadataSource,
        namespace: &[u8],
        key: &[u8],
    ) -> Option<bool> {
        let mut value = false;
        // SAFETY: the filter is alive; the out pointer is valid.
        unsafe {
            abi::envoy_dynamic_module_callback_http_get_metadata_bool(
                self.as_ptr(),
                source,
                namespace.into(),
                key.into(),
                &raw mut value,
            )
        }
        .then_some(value)
    }

    pub(crate) fn filter_state(&self, key: &[u8]) -> Option<&[u8]> {
        let mut value = EnvoyBuffer::EMPTY;
        // SAFETY: the filter is alive; the out pointer is valid.
        unsafe {
            (abi::envoy_dynamic_module_callback_http_get_filter_state_bytes(
                self.as_ptr(),
                key.into(),
                &raw mut value,
            ) || abi::envoy_dynamic_module_callback_http_get_filter_state_typed(
                self.as_ptr(),
                key.into(),
                &raw mut value,
            ))
            .then(|| value.bytes())
        }
    }

    /// An object that Envoy's filters read.
    pub(crate) fn set_typed_filter_state(&self, key: &[u8], value: &[u8]) -> bool {
        // SAFETY: the filter is alive.
        unsafe {
            abi::envoy_dynamic_module_callback_http_set_filter_state_typed(
                self.as_ptr(),
                key.into(),
                value.into(),
            )
        }
    }

    pub(crate) fn set_filter_state(&self, key: &[u8], value: &[u8]) -> bool {
        // SAFETY: the filter is alive.
        unsafe {
            abi::envoy_dynamic_module_callback_http_set_filter_state_bytes(
                self.as_ptr(),
                key.into(),
                value.into(),
            )
        }
    }
}
