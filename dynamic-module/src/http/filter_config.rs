//! What Envoy holds for a filter's configuration, and for a route's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::envoy::plugin::WasmPlugin;
use crate::envoy::scope::Scope;

/// A filter's configuration: what `config_new` hands to Envoy.
pub(crate) struct FilterConfig {
    pub(crate) scope: Arc<Scope>,
    pub(crate) plugin: Arc<WasmPlugin>,
}

impl FilterConfig {
    pub(crate) fn new(scope: Arc<Scope>, plugin: Arc<WasmPlugin>) -> Self {
        plugin.note_configured(&scope);
        Self { scope, plugin }
    }
}

impl Drop for FilterConfig {
    fn drop(&mut self) {
        self.plugin.close();
        self.scope.close();
    }
}

/// A route's own plugin: what `per_route_config_new` hands to Envoy. It has no metrics
/// and no scheduler of its own, and starts with the filter's when it is first needed.
pub(crate) struct RouteConfig {
    pub(crate) plugin: Arc<WasmPlugin>,
}

/// How many there are: without any, streams need not ask Envoy for theirs.
static ROUTE_CONFIGS: AtomicUsize = AtomicUsize::new(0);

impl RouteConfig {
    pub(crate) fn new(plugin: WasmPlugin) -> Self {
        ROUTE_CONFIGS.fetch_add(1, Ordering::Relaxed);
        let plugin = Arc::new(plugin);
        Self { plugin }
    }

    pub(crate) fn exist() -> bool {
        ROUTE_CONFIGS.load(Ordering::Relaxed) > 0
    }
}

impl Drop for RouteConfig {
    fn drop(&mut self) {
        ROUTE_CONFIGS.fetch_sub(1, Ordering::Relaxed);
        self.plugin.close();
    }
}
