//! Calling the plugin: life cycle and stream events.

mod calls;

use std::rc::Rc;

use crate::abi::{AbiVersion, DataAction, Direction, HeadersAction, TrailersAction};
use crate::context::{Context, Plugin};
use crate::exports::{Exports, Optional};
use crate::pending::Deferred;
use crate::vm::Vm;
use crate::vm::memory::size32;

/// Life cycle of plugins.
impl Vm {
    /// Makes a root context, starts and configures the plugin; returns the context's id.
    ///
    /// # Errors
    /// If the plugin refused or failed.
    pub fn add_plugin(&self, plugin: &Rc<Plugin>) -> Result<u32, String> {
        let root = self.insert(Context::root(self.new_context_id(), plugin));
        let started = self.start_plugin(&root);
        if started.is_err() {
            self.contexts.borrow_mut().remove(&root.id);
        }
        started.map(|()| root.id)
    }

    fn start_plugin(&self, root: &Rc<Context>) -> Result<(), String> {
        let size = |data: &[u8]| size32(data.len()).unwrap_or(u32::MAX);
        self.create(root);
        let vm_size = size(&self.settings.configuration);
        let vm_start = |exports: &Exports| exports.vm_start;
        if self.callback(root, vm_start, &[root.id, vm_size]) == Some(0) {
            return Err("proxy_on_vm_start returned false".into());
        }
        let plugin_size = size(&root.plugin.configuration);
        root.configuring.set(true);
        let configure = |exports: &Exports| exports.configure;
        let configured = self.callback(root, configure, &[root.id, plugin_size]);
        root.configuring.set(false);
        if configured == Some(0) {
            return Err("proxy_on_configure returned false".into());
        }
        if self.has_failed() {
            return Err("the plugin failed while it was configured".into());
        }
        Ok(())
    }

    /// Ends a plugin: it may put off its deletion with `proxy_on_done`.
    pub fn remove_plugin(&self, root: u32) {
        let Some(root) = self.find(root) else { return };
        if self.callback(&root, |exports| exports.done, &[root.id]) == Some(0) {
            root.pending_done.set(true);
        } else {
            self.delete_root(&root);
        }
    }

    pub(crate) fn delete_root(&self, root: &Rc<Context>) {
        self.callback(root, |exports| exports.delete, &[root.id]);
        self.contexts.borrow_mut().remove(&root.id);
    }

    /// Has the plugin's timer go off.
    pub fn tick(&self, root: u32) {
        if let Some(root) = self.find(root) {
            self.callback(&root, |exports| exports.tick, &[root.id]);
        }
    }

    /// Tells the plugin that its queue has a new item.
    pub fn queue_ready(&self, root: u32, token: u32) {
        if let Some(root) = self.find(root) {
            self.callback(&root, |exports| exports.queue_ready, &[root.id, token]);
        }
    }

    /// A callback from which nothing about a stream's iteration follows.
    pub(crate) fn callback(
        &self,
        context: &Rc<Context>,
        export: fn(&Exports) -> Optional,
        arguments: &[u32],
    ) -> Option<u32> {
        let result = self.call(context, self.exports().and_then(export), arguments);
        self.settle();
        result
    }

    /// After a callback: does what was deferred, unless an outer callback is running.
    pub(crate) fn settle(&self) {
        if self.is_running() {
            return;
        }
        self.note_memory();
        self.stop_iteration.set(false);
        loop {
            let next = self.deferred.borrow_mut().pop_front();
            match next {
                Some(deferred) => self.run(deferred),
                None => break,
            }
        }
    }

    fn run(&self, deferred: Deferred) {
        match deferred {
            Deferred::Stream(context, action) => {
                if let Some(stream) = context.stream() {
                    stream.act(action);
                }
            }
            Deferred::Delete(context) => self.delete_root(&context),
            Deferred::Call(token, event) => self.call_event(token, event),
        }
    }

    fn create(&self, context: &Rc<Context>) {
        if !context.created.replace(true) {
            let parent = if context.is_root() { 0 } else { context.root };
            self.callback(
                context,
                |exports| exports.context_create,
                &[context.id, parent],
            );
        }
    }
}

/// Events of a stream. After each, the caller looks whether the VM has failed.
impl Vm {
    /// Request or response headers have come.
    pub fn headers(
        &self,
        context: u32,
        direction: Direction,
        count: u32,
        end_of_stream: bool,
    ) -> HeadersAction {
        let Some(context) = self.find(context) else {
            return HeadersAction::Continue;
        };
        match direction {
            Direction::Request => self.create(&context),
            // The stream was answered before it got to the plugin.
            Direction::Response if !context.created.get() => return HeadersAction::Continue,
            Direction::Response => {}
        }
        let export = |exports: &Exports, direction| match direction {
            Direction::Request => exports.request_headers,
            Direction::Response => exports.response_headers,
        };
        let arguments = [context.id, count, u32::from(end_of_stream)];
        let Some((result, stopped)) = self.event(&context, direction, export, &arguments) else {
            return HeadersAction::Continue;
        };
        let literal = context.plugin.allow_on_headers_stop_iteration
            || self.program.abi == AbiVersion::V0_2_100;
        match result {
            _ if stopped => HeadersAction::StopAllAndWatermark,
            0 => HeadersAction::Continue,
            1 if literal => HeadersAction::StopIteration,
            3 => HeadersAction::StopAllAndBuffer,
            // The ABI's "pause" stops the body too.
            _ => HeadersAction::StopAllAndWatermark,
        }
    }

    /// Body has come; `size` is how much the plugin can see.
    pub fn body(
        &self,
        context: u32,
        direction: Direction,
        size: usize,
        end_of_stream: bool,
    ) -> DataAction {
        let export = |exports: &Exports, direction| match direction {
            Direction::Request => exports.request_body,
            Direction::Response => exports.response_body,
        };
        let Some(context) = self.find(context).filter(|it| it.created.get()) else {
            return DataAction::Continue;
        };
        let size = size32(size).unwrap_or(u32::MAX);
        let arguments = [context.id, size, u32::from(end_of_stream)];
        match self.event(&context, direction, export, &arguments) {
            None | Some((0, false)) => DataAction::Continue,
            Some((1, false)) => DataAction::StopAndBuffer,
            Some((2, false)) => DataAction::StopAndWatermark,
            Some(_) => DataAction::StopNoBuffer,
        }
    }

    /// Trailers have come.
    pub fn trailers(&self, context: u32, direction: Direction, count: u32) -> TrailersAction {
        let export = |exports: &Exports, direction| match direction {
            Direction::Request => exports.request_trailers,
            Direction::Response => exports.response_trailers,
        };
        let Some(context) = self.find(context).filter(|it| it.created.get()) else {
            return TrailersAction::Continue;
        };
        match self.event(&context, direction, export, &[context.id, count]) {
            None | Some((0, false)) => TrailersAction::Continue,
            Some(_) => TrailersAction::Stop,
        }
    }

    /// The plugin's result, and whether it must not go on since it answered the
    /// stream. `None` is "go on".
    fn event(
        &self,
        context: &Rc<Context>,
        direction: Direction,
        export: fn(&Exports, Direction) -> Optional,
        arguments: &[u32],
    ) -> Option<(u32, bool)> {
        let export = self
            .exports()
            .and_then(|exports| export(exports, direction));
        let result = self.call(context, export, arguments);
        let stopped = self.stop_iteration.get();
        let resumed = self.take_resume(context, direction);
        self.settle();
        result.map(|result| (if resumed { 0 } else { result }, stopped))
    }

    /// The stream has ended and can be logged.
    pub fn log_stream(&self, context: u32) {
        if let Some(context) = self.find(context) {
            self.create(&context);
            self.callback(&context, |exports| exports.log, &[context.id]);
        }
    }

    /// Ends a stream's context.
    pub fn delete_stream(&self, id: u32) {
        let Some(context) = self.find(id) else { return };
        if context.created.get() {
            self.callback(&context, |exports| exports.done, &[id]);
            self.callback(&context, |exports| exports.delete, &[id]);
        }
        self.abandon_stream(id);
    }

    /// Forgets a stream without telling the plugin.
    pub fn abandon_stream(&self, id: u32) {
        let context = self.contexts.borrow_mut().remove(&id);
        if let Some(context) = context {
            self.abandon_calls(&context);
        }
    }
}
