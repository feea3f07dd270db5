//! The host, with a proxy that only takes notes, and plugins in the text format.

mod calls;
mod faults;
mod hostcalls;
mod life_cycle;
mod wasi;

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::abi::*;
use super::proxy::*;
use super::*;

/// What the proxy was told, in order.
#[derive(Clone, Default)]
pub(super) struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn add(&self, note: impl Into<String>) {
        self.0.lock().expect("no panic").push(note.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("no panic"))
    }
}

struct MockProxy(Notes);

struct MockMetric(MetricKind, Mutex<u64>);

impl Metric for MockMetric {
    fn kind(&self) -> MetricKind {
        self.0
    }

    fn add(&self, offset: i64) -> HostResult {
        let mut value = self.1.lock().expect("no panic");
        *value = value.wrapping_add_signed(offset);
        Ok(())
    }

    fn record(&self, value: u64) -> HostResult {
        *self.1.lock().expect("no panic") = value;
        Ok(())
    }

    fn value(&self) -> u64 {
        *self.1.lock().expect("no panic")
    }
}

impl Proxy for MockProxy {
    fn log(&self, level: LogLevel, message: &str) {
        self.0.add(format!("{level:?} {message}"));
    }

    fn log_level(&self) -> u32 {
        LogLevel::Debug as u32
    }

    fn property(&self, path: &[&[u8]]) -> Option<Vec<u8>> {
        (path == [b"node"]).then(|| b"the node".to_vec())
    }

    fn define_metric(&self, kind: MetricKind, name: &[u8]) -> HostResult<Rc<dyn Metric>> {
        self.0
            .add(format!("{kind:?} {}", String::from_utf8_lossy(name)));
        Ok(Rc::new(MockMetric(kind, Mutex::default())))
    }

    fn open_call(&self, _: RootId, token: u32, request: &HttpRequest<'_>, end: bool) -> HostResult {
        if request.upstream == b"nowhere" {
            return Err(Status::BadArgument);
        }
        let end = if end { ", complete" } else { "" };
        self.0.add(format!("call {token}{end}"));
        Ok(())
    }

    fn send_on_call(&self, _: RootId, token: u32, data: &[u8], end: bool) -> HostResult {
        let data = String::from_utf8_lossy(data);
        self.0.add(format!("send on {token}: {data:?}, {end}"));
        Ok(())
    }

    fn reset_call(&self, _: RootId, token: u32) {
        self.0.add(format!("reset {token}"));
    }

    fn set_tick_period(&self, root: RootId, period: Duration) {
        self.0
            .add(format!("ticks of {} every {period:?}", root.context));
    }

    fn queue_listener(&self, root: RootId) -> Arc<dyn QueueListener> {
        Arc::new(MockListener(self.0.clone(), root))
    }

    fn vm_failed(&self, _: VmId, error: &str) {
        self.0.add(format!("failed: {error}"));
    }
}

struct MockListener(Notes, RootId);

impl QueueListener for MockListener {
    fn is_reachable(&self) -> bool {
        true
    }

    fn item_ready(&self, _: u32) {
        self.0.add(format!("queue of {}", self.1.context));
    }
}

/// A stream with headers and a body.
#[derive(Default)]
pub(super) struct MockStream {
    notes: Notes,
    headers: RefCell<OwnedPairs>,
    body: RefCell<Vec<u8>>,
}

impl Stream for MockStream {
    fn has_map(&self, map: MapType) -> bool {
        map == MapType::RequestHeaders
    }

    fn header(&self, _: MapType, name: &[u8]) -> Option<Cow<'_, [u8]>> {
        let headers = self.headers.borrow();
        let found = headers.iter().find(|(it, _)| it == name);
        found.map(|(_, value)| Cow::Owned(value.clone()))
    }

    fn headers(&self, _: MapType, use_them: &mut UsePairs<'_>) {
        let headers = self.headers.borrow().clone();
        let pairs: Vec<_> = headers.iter().map(|(n, v)| (&n[..], &v[..])).collect();
        use_them(&pairs);
    }

    fn add_header(&self, map: MapType, name: &[u8], value: &[u8]) -> HostResult {
        if !self.has_map(map) {
            return Err(Status::BadArgument);
        }
        self.headers
            .borrow_mut()
            .push((name.to_vec(), value.to_vec()));
        Ok(())
    }

    fn set_header(&self, map: MapType, name: &[u8], value: &[u8]) -> HostResult {
        self.remove_header(map, name)?;
        self.add_header(map, name, value)
    }

    fn remove_header(&self, map: MapType, name: &[u8]) -> HostResult {
        if !self.has_map(map) {
            return Err(Status::BadArgument);
        }
        self.headers.borrow_mut().retain(|(it, _)| it != name);
        Ok(())
    }

    fn body_size(&self, _: Direction) -> usize {
        self.body.borrow().len()
    }

    fn read_body(&self, _: Direction, start: usize, out: &mut [u8]) {
        out.copy_from_slice(&self.body.borrow()[start..start + out.len()]);
    }

    fn replace_body(&self, _: Direction, remove: usize, data: &[u8]) -> HostResult {
        let mut body = self.body.borrow_mut();
        let remove = remove.min(body.len());
        body.splice(..remove, data.iter().copied());
        Ok(())
    }

    fn append_body(&self, _: Direction, data: &[u8]) -> HostResult {
        self.body.borrow_mut().extend_from_slice(data);
        Ok(())
    }

    fn property(&self, path: &[&[u8]]) -> Option<Cow<'_, [u8]>> {
        (path == [&b"request"[..], b"path"]).then_some(Cow::Borrowed(b"/the/path"))
    }

    fn set_property(&self, path: &[u8], value: &[u8]) -> HostResult {
        let text = [path, b"=", value].concat();
        self.notes.add(String::from_utf8_lossy(&text));
        Ok(())
    }

    fn clear_route_cache(&self) {
        self.notes.add("clear route cache");
    }

    fn open_call(&self, token: u32, _: &HttpRequest<'_>, _: bool) -> HostResult {
        self.notes.add(format!("stream's call {token}"));
        Ok(())
    }

    fn send_on_call(&self, token: u32, data: &[u8], end: bool) -> HostResult {
        let data = String::from_utf8_lossy(data);
        self.notes
            .add(format!("send on stream's {token}: {data:?}, {end}"));
        Ok(())
    }

    fn reset_call(&self, token: u32) {
        self.notes.add(format!("reset stream's {token}"));
    }

    fn act(&self, action: StreamAction) {
        self.notes.add(format!("{action:?}"));
    }
}

/// One VM with one plugin.
pub(super) struct Guest {
    pub(super) vm: Rc<Vm>,
    pub(super) root: u32,
    pub(super) notes: Notes,
}

/// What every plugin here has: memory, an allocator, and `$log`, which logs a number.
const PRELUDE: &str = r#"
  (memory (export "memory") 1)
  (global $free (mut i32) (i32.const 32768))
  (func (export "malloc") (param $size i32) (result i32)
    (global.get $free)
    (global.set $free (i32.add (global.get $free) (local.get $size))))
  (func $say (param $at i32) (param $size i32)
    (drop (call $log (i32.const 2) (local.get $at) (local.get $size))))
  (func $digit (param $number i32)
    (i32.store8 (i32.const 8) (i32.add (i32.const 48) (local.get $number)))
    (call $say (i32.const 8) (i32.const 1)))
"#;

pub(super) fn program_of(imports: &str, rest: &str) -> Result<Program, String> {
    let version = if rest.contains("proxy_abi_version") {
        ""
    } else {
        r#"(func (export "proxy_abi_version_0_2_1"))"#
    };
    let text = format!(
        r#"(module
          (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
          {imports} {PRELUDE} {version} {rest})"#
    );
    let code = wat::parse_str(text).expect("the test's module is right");
    Program::new(&code, false)
}

pub(super) fn plugin(notes: &Notes) -> Rc<Plugin> {
    Rc::new(Plugin {
        name: "name".into(),
        root_id: "root".into(),
        configuration: b"plugin's".to_vec(),
        allow_on_headers_stop_iteration: false,
        log_prefix: " name".into(),
        root_log_prefix: String::new(),
        proxy: Box::new(MockProxy(notes.clone())),
    })
}

pub(super) fn settings() -> VmSettings {
    VmSettings {
        vm_id: "vm".into(),
        configuration: b"vm's".to_vec(),
        environment: vec![("A".into(), "1".into()), ("BC".into(), "23".into())],
        ..VmSettings::default()
    }
}

impl Guest {
    pub(super) fn try_new(
        imports: &str,
        rest: &str,
        settings: VmSettings,
    ) -> (Notes, Result<Self, String>) {
        let notes = Notes::default();
        let plugin = plugin(&notes);
        let guest = program_of(imports, rest).and_then(|program| {
            let vm = Vm::start(&Arc::new(program), &Arc::new(settings), &plugin)?;
            let root = vm.add_plugin(&plugin)?;
            Ok(Self {
                vm,
                root,
                notes: notes.clone(),
            })
        });
        (notes, guest)
    }

    #[track_caller]
    pub(super) fn new(imports: &str, rest: &str) -> Self {
        let (notes, guest) = Self::try_new(imports, rest, settings());
        match guest {
            Ok(guest) => guest,
            Err(error) => panic!("{error}\n{:?}", notes.take()),
        }
    }

    /// Runs `f` with a stream that has these headers and body.
    pub(super) fn with_stream<T>(
        &self,
        headers: &[(&str, &str)],
        body: &str,
        f: impl FnOnce(u32, &MockStream) -> T,
    ) -> T {
        let own = |(name, value): &(&str, &str)| (name.as_bytes().into(), value.as_bytes().into());
        let stream = Rc::new(MockStream {
            notes: self.notes.clone(),
            headers: RefCell::new(headers.iter().map(own).collect()),
            body: RefCell::new(body.into()),
        });
        let attached: Weak<dyn Stream> = Rc::<MockStream>::downgrade(&stream);
        let context = self.vm.add_stream(self.root, attached);
        let context = context.expect("there is a root context");
        let result = f(context, &stream);
        self.vm.delete_stream(context);
        result
    }

    pub(super) fn request(&self, context: u32) -> HeadersAction {
        self.vm.headers(context, Direction::Request, 2, true)
    }
}
