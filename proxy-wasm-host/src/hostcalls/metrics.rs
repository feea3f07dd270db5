//! Metrics. An id's low two bits are the metric's kind, as in Envoy.

use std::rc::Rc;

use super::entry::host_functions;
use crate::abi::{HostResult, MetricKind, Status};
use crate::proxy::Metric;
use crate::vm::Vm;
use crate::vm::memory::size32;

const KIND_BITS: u32 = 2;

host_functions! {
    InCallbacks fn proxy_define_metric(
        vm, kind: u32, name: u32, name_size: u32, id_out: u32,
    ) -> HostResult {
        let kind = MetricKind::try_from(kind)?;
        let name = vm.bytes(name, name_size)?;
        let context = vm.context();
        let key = (context.root, kind, name.to_vec());
        let known = vm.metric_ids.borrow().get(&key).copied();
        let id = match known {
            Some(id) => id,
            None => {
                let metric = context.plugin.proxy.define_metric(kind, name)?;
                let mut metrics = vm.metrics.borrow_mut();
                metrics.push(metric);
                let id = size32(metrics.len() - 1)? << KIND_BITS | kind as u32;
                vm.metric_ids.borrow_mut().insert(key, id);
                id
            }
        };
        vm.write_u32(id_out, id)
    }

    InCallbacks fn proxy_increment_metric(vm, id: u32, offset: i64) -> HostResult {
        let metric = metric(vm, id)?;
        match metric.kind() {
            MetricKind::Counter if offset <= 0 => Err(Status::BadArgument),
            MetricKind::Histogram => Err(Status::BadArgument),
            _ => metric.add(offset),
        }
    }

    InCallbacks fn proxy_record_metric(vm, id: u32, value: u64) -> HostResult {
        metric(vm, id)?.record(value)
    }

    InCallbacks fn proxy_get_metric(vm, id: u32, value_out: u32) -> HostResult {
        let metric = metric(vm, id)?;
        if metric.kind() == MetricKind::Histogram {
            return Err(Status::BadArgument);
        }
        vm.write_u64(value_out, metric.value())
    }
}

fn metric(vm: &Vm, id: u32) -> HostResult<Rc<dyn Metric>> {
    let metrics = vm.metrics.borrow();
    let metric = metrics
        .get((id >> KIND_BITS) as usize)
        .ok_or(Status::NotFound)?;
    if metric.kind() as u32 != id & ((1 << KIND_BITS) - 1) {
        return Err(Status::NotFound);
    }
    Ok(metric.clone())
}
