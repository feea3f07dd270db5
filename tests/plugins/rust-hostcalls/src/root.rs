//! The plugin's root context: start-up, ticks, queues, metrics.

use crate::groups;
use crate::http::{self, Metrics};
use crate::late;
use crate::show_option;
use log::{info, warn};
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{ContextType, MetricType};
use std::time::Duration;

pub const TICKS: &str = "ticks";
pub const QUEUE: &str = "queue";

#[derive(Default)]
pub struct Root {
    group: String,
    queue: u32,
    ticks: u32,
    metrics: Metrics,
}

impl RootContext for Root {
    fn on_vm_start(&mut self, _size: usize) -> bool {
        let configuration = self.get_vm_configuration();
        if configuration.as_deref() == Some(b"refuse") {
            warn!("refusing to start");
            return false;
        }
        if configuration.is_some() {
            info!("vm configuration {}", show_option(configuration));
        }
        true
    }

    fn on_configure(&mut self, _size: usize) -> bool {
        let bytes = self.get_plugin_configuration().unwrap_or_default();
        self.group = String::from_utf8_lossy(&bytes).into_owned();
        match self.group.as_str() {
            "refuse" => {
                warn!("refusing the configuration");
                return false;
            }
            "panic" => panic!("asked to panic while configuring"),
            "metrics" => {
                let define = |kind, name| {
                    hostcalls::define_metric(kind, name).expect("the host defines the metric")
                };
                self.metrics = Metrics {
                    counter: define(MetricType::Counter, "e2e.requests"),
                    gauge: define(MetricType::Gauge, "e2e.level"),
                    histogram: define(MetricType::Histogram, "e2e.size"),
                };
            }
            "queue" => self.queue = self.register_shared_queue(QUEUE),
            "tick" => self.set_tick_period(Duration::from_millis(30)),
            "configure-callout" => {
                let sent = groups::call_out(self, "upstream", "/see", Duration::from_secs(5));
                assert!(sent, "calls out while it is configured");
            }
            "tick-callout" => self.set_tick_period(Duration::from_millis(50)),
            _ => {}
        }
        true
    }

    fn on_tick(&mut self) {
        self.ticks += 1;
        if self.group == "tick-callout" {
            self.set_tick_period(Duration::ZERO);
            groups::call_out(self, "upstream", "/see", Duration::from_secs(5));
        } else {
            groups::add_to_shared(self, TICKS, 1);
            if self.ticks == 5 {
                self.set_tick_period(Duration::ZERO);
            }
        }
    }

    fn on_queue_ready(&mut self, queue: u32) {
        while let Ok(Some(item)) = self.dequeue_shared_queue(queue) {
            let own = if queue == self.queue {
                "own"
            } else {
                "another"
            };
            info!("from {own} queue: {}", show_option(Some(item)));
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        if self.group == "late" {
            return Some(Box::new(late::Late::default()));
        }
        let (group, metrics) = (self.group.clone(), self.metrics);
        Some(Box::new(http::Filter::new(group, metrics, self.queue)))
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, _: u32, _: usize, body: usize, trailers: usize) {
        let status = self.get_http_call_response_header(":status");
        info!(
            "root callout: {status:?}, body: {}, trailers: {trailers}",
            body > 0
        );
    }
}
