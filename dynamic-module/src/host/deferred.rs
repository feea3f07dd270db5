//! What must wait until the plugin has returned: what it asks for that can bring the proxy
//! back into the VM, and what arrives while it runs.

use std::rc::Rc;

use super::abi::Direction;
use super::context::Context;
use super::proxy::{CallEvent, StreamAction};
use super::vm::Vm;

pub(super) enum Deferred {
    Stream(Rc<Context>, StreamAction),
    /// A root context that said it is done.
    Delete(Rc<Context>),
    /// What arrived for a call.
    Call(u32, CallEvent),
}

impl Deferred {
    pub(super) fn run(self, vm: &Vm) {
        match self {
            Self::Stream(context, action) => {
                if let Some(stream) = context.stream() {
                    stream.act(action);
                } else if let Some(remote) = context.remote() {
                    remote.act(action);
                }
            }
            Self::Delete(context) => vm.delete_root(&context),
            Self::Call(token, event) => vm.call_event(token, event),
        }
    }
}

impl Vm {
    pub(super) fn defer(&self, deferred: Deferred) {
        self.deferred.borrow_mut().push_back(deferred);
    }

    /// Whether the plugin asked, in the callback that just ended, for this stream to go
    /// on in this direction. The callback's own result then says so.
    pub(super) fn take_resume(&self, context: &Rc<Context>, direction: Direction) -> bool {
        let mut deferred = self.deferred.borrow_mut();
        if deferred.is_empty() {
            return false;
        }
        let before = deferred.len();
        deferred.retain(|it| {
            !matches!(it, Deferred::Stream(of, StreamAction::Resume(way))
                if Rc::ptr_eq(of, context) && *way == direction)
        });
        deferred.len() != before
    }
}
