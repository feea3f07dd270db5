//! Target `hostcalls`: what a guest makes of every function that it can import, and what arrives
//! for it.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use proxy_wasm_host::abi::{Direction, HostResult, LogLevel, MapType, MetricKind};
use proxy_wasm_host::proxy::{
    CallEvent, HttpRequest, Metric, OwnedPairs, Proxy, QueueListener, RootId, Stream, StreamAction,
    VmId,
};
use proxy_wasm_host::{Plugin, Program, UsePairs, Vm, VmSettings, hostcalls};
use rust_wasm::{FunctionType, Type};
use wasm_encoder::{
    CodeSection, ConstExpr, DataSection, EntityType, ExportKind, ExportSection, Function,
    FunctionSection, GlobalSection, GlobalType, ImportSection, MemorySection, MemoryType, Module,
    TypeSection, ValType,
};

type Hostcall = (&'static str, &'static str, FunctionType);

static HOSTCALLS: LazyLock<Vec<Hostcall>> = LazyLock::new(|| hostcalls().collect());

/// Where the input's data lie, and where words are that hostcalls know.
const DATA: u32 = 1024;
const MAX_DATA: usize = 4096;
const WORDS: u32 = 8192;
const WORD_SIZE: usize = 32;
const WORD_LIST: [&[u8]; 12] = [
    b"compress",
    b"uncompress",
    b"declare_property",
    b"set_envoy_filter_state",
    b"clear_route_cache",
    b"sign",
    b"upstream",
    b":path",
    b"request\0path",
    b"plugin_name",
    b"a.Service",
    b"Method",
];

/// The callbacks that make hostcalls, and what they get and return.
const CALLBACKS: [(&str, u32, bool); 6] = [
    ("proxy_on_configure", 2, true),
    ("proxy_on_request_headers", 3, true),
    ("proxy_on_response_body", 3, true),
    ("proxy_on_tick", 1, false),
    ("proxy_on_http_call_response", 5, false),
    ("proxy_on_log", 1, false),
];

/// Bytes of input, zeros after its end.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A number of the kinds that hostcalls expect: small, a place, a size, or any.
    fn number(&mut self) -> u32 {
        let byte = self.byte();
        let low = u32::from(byte % 64);
        match byte / 64 {
            0 => low,
            1 => DATA + low * 16,
            2 if low < 32 => WORDS + low * WORD_SIZE as u32,
            2 => (low - 32) * 8,
            _ if low < 32 => 256 + low * 8,
            _ => u32::from_le_bytes(self.bytes()),
        }
    }
}

/// A guest that makes the input's hostcalls.
fn guest(input: &mut Input<'_>) -> Vec<u8> {
    let (mut types, mut imports, mut code) =
        (TypeSection::new(), ImportSection::new(), CodeSection::new());
    let (mut functions, mut exports) = (FunctionSection::new(), ExportSection::new());
    for (index, (module, name, ty)) in HOSTCALLS.iter().enumerate() {
        types
            .ty()
            .function(values(ty.params()), values(ty.results()));
        imports.import(module, name, EntityType::Function(index as u32));
    }
    let mut add = |name: &str, params: u32, result: bool, body: &Function| {
        let ty = types.len();
        let results = result.then_some(ValType::I32);
        types
            .ty()
            .function(vec![ValType::I32; params as usize], results);
        functions.function(ty);
        let index = (HOSTCALLS.len() + functions.len() as usize - 1) as u32;
        exports.export(name, ExportKind::Func, index);
        code.function(body);
    };
    let mut nothing = Function::new([]);
    nothing.instructions().end();
    add("proxy_abi_version_0_2_1", 0, false, &nothing);
    let mut malloc = Function::new([]);
    malloc
        .instructions()
        .global_get(0)
        .global_get(0)
        .local_get(0)
        .i32_add()
        .global_set(0)
        .end();
    add("malloc", 1, true, &malloc);
    for (name, params, result) in CALLBACKS {
        let mut body = Function::new([]);
        for _ in 0..input.byte() % 8 {
            let index = usize::from(input.byte()) % HOSTCALLS.len();
            let ty = &HOSTCALLS[index].2;
            for param in ty.params() {
                if *param == Type::I64 {
                    body.instructions()
                        .i64_const(i64::from_le_bytes(input.bytes()));
                } else {
                    body.instructions().i32_const(input.number().cast_signed());
                }
            }
            body.instructions().call(index as u32);
            for _ in ty.results() {
                body.instructions().drop();
            }
        }
        if result {
            body.instructions().i32_const(i32::from(input.byte() % 4));
        }
        body.instructions().end();
        add(name, params, result, &body);
    }
    exports.export("memory", ExportKind::Memory, 0);
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: 2,
        maximum: Some(16),
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut globals = GlobalSection::new();
    let ty = GlobalType {
        val_type: ValType::I32,
        mutable: true,
        shared: false,
    };
    globals.global(ty, &ConstExpr::i32_const(16384));
    let mut data = DataSection::new();
    for (index, word) in WORD_LIST.iter().enumerate() {
        let place = WORDS + (index * WORD_SIZE) as u32;
        data.active(
            0,
            &ConstExpr::i32_const(place.cast_signed()),
            word.iter().copied(),
        );
    }
    let bytes = input.take(MAX_DATA);
    data.active(
        0,
        &ConstExpr::i32_const(DATA.cast_signed()),
        bytes.iter().copied(),
    );
    let mut module = Module::new();
    module
        .section(&types)
        .section(&imports)
        .section(&functions)
        .section(&memories)
        .section(&globals)
        .section(&exports)
        .section(&code)
        .section(&data);
    module.finish()
}

fn values(types: &[Type]) -> Vec<ValType> {
    let value = |ty: &Type| match ty {
        Type::I64 => ValType::I64,
        _ => ValType::I32,
    };
    types.iter().map(value).collect()
}

/// A proxy with nothing behind it.
#[derive(Default)]
struct Nowhere {
    calls: RefCell<Vec<u32>>,
}

struct Number(MetricKind, Cell<u64>);

impl Metric for Number {
    fn kind(&self) -> MetricKind {
        self.0
    }

    fn add(&self, offset: i64) -> HostResult {
        self.1.set(self.1.get().wrapping_add_signed(offset));
        Ok(())
    }

    fn record(&self, value: u64) -> HostResult {
        self.1.set(value);
        Ok(())
    }

    fn value(&self) -> u64 {
        self.1.get()
    }
}

struct Nobody;

impl QueueListener for Nobody {
    fn is_reachable(&self) -> bool {
        false
    }

    fn item_ready(&self, _: u32) {}
}

impl Nowhere {
    fn open(&self, token: u32) {
        self.calls.borrow_mut().push(token);
    }
}

/// The part of a proxy that a plugin has outside of streams.
struct Root(Rc<Nowhere>);

impl Proxy for Root {
    fn log(&self, _: LogLevel, _: &str) {}

    fn log_level(&self) -> u32 {
        0
    }

    fn property(&self, _: &[&[u8]]) -> Option<Vec<u8>> {
        None
    }

    fn define_metric(&self, kind: MetricKind, _: &[u8]) -> HostResult<Rc<dyn Metric>> {
        Ok(Rc::new(Number(kind, Cell::new(0))))
    }

    fn open_call(&self, _: RootId, token: u32, _: &HttpRequest<'_>, _: bool) -> HostResult {
        self.0.open(token);
        Ok(())
    }

    fn send_on_call(&self, _: RootId, _: u32, _: &[u8], _: bool) -> HostResult {
        Ok(())
    }

    fn reset_call(&self, _: RootId, _: u32) {}

    fn set_tick_period(&self, _: RootId, _: Duration) {}

    fn queue_listener(&self, _: RootId) -> Arc<dyn QueueListener> {
        Arc::new(Nobody)
    }

    fn vm_failed(&self, _: VmId, error: &str) {
        assert!(!error.contains("panic"), "{error}");
    }
}

/// A request with one header and a body.
struct Request {
    proxy: Rc<Nowhere>,
    headers: RefCell<OwnedPairs>,
    body: RefCell<Vec<u8>>,
}

impl Stream for Request {
    fn has_map(&self, map: MapType) -> bool {
        map == MapType::RequestHeaders
    }

    fn header(&self, _: MapType, name: &[u8]) -> Option<Cow<'_, [u8]>> {
        let headers = self.headers.borrow();
        let found = headers.iter().find(|it| it.0 == name);
        found.map(|it| Cow::Owned(it.1.clone()))
    }

    fn headers(&self, _: MapType, use_them: &mut UsePairs<'_>) {
        let headers = self.headers.borrow().clone();
        let pairs: Vec<_> = headers.iter().map(|it| (&it.0[..], &it.1[..])).collect();
        use_them(&pairs);
    }

    fn add_header(&self, _: MapType, name: &[u8], value: &[u8]) -> HostResult {
        let header = (name.to_vec(), value.to_vec());
        self.headers.borrow_mut().push(header);
        Ok(())
    }

    fn set_header(&self, map: MapType, name: &[u8], value: &[u8]) -> HostResult {
        self.remove_header(map, name)?;
        self.add_header(map, name, value)
    }

    fn remove_header(&self, _: MapType, name: &[u8]) -> HostResult {
        self.headers.borrow_mut().retain(|it| it.0 != name);
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
        (path == [&b"request"[..], b"path"]).then_some(Cow::Borrowed(b"/"))
    }

    fn set_property(&self, _: &[u8], _: &[u8]) -> HostResult {
        Ok(())
    }

    fn clear_route_cache(&self) {}

    fn open_call(&self, token: u32, _: &HttpRequest<'_>, _: bool) -> HostResult {
        self.proxy.open(token);
        Ok(())
    }

    fn send_on_call(&self, _: u32, _: &[u8], _: bool) -> HostResult {
        Ok(())
    }

    fn reset_call(&self, _: u32) {}

    fn act(&self, _: StreamAction) {}
}

/// Target `hostcalls`.
///
/// # Panics
/// If a host function does.
pub fn hostcalls_of_a_guest(data: &[u8]) {
    let mut input = Input(data);
    let bytecode = guest(&mut input);
    let rest = input.0;
    let program = Program::new(&bytecode, false).expect("a right module");
    let proxy = Rc::new(Nowhere::default());
    let plugin = Rc::new(Plugin {
        name: "plugin".into(),
        root_id: String::new(),
        configuration: b"configuration".to_vec(),
        allow_on_headers_stop_iteration: false,
        log_prefix: String::new(),
        root_log_prefix: String::new(),
        proxy: Box::new(Root(proxy.clone())),
    });
    let settings = Arc::new(VmSettings {
        environment: vec![("NAME".into(), "value".into())],
        ..VmSettings::default()
    });
    let vm = Vm::start(&Arc::new(program), &settings, &plugin).expect("it starts");
    let Ok(root) = vm.add_plugin(&plugin) else {
        return;
    };
    let request: Rc<dyn Stream> = Rc::new(Request {
        proxy: proxy.clone(),
        headers: RefCell::new(vec![(b":path".to_vec(), b"/".to_vec())]),
        body: RefCell::new(b"a body".to_vec()),
    });
    let stream = vm.add_stream(root, Rc::downgrade(&request));
    let stream = stream.expect("there is a root");
    vm.headers(stream, Direction::Request, 1, false);
    vm.body(stream, Direction::Response, 6, true);
    vm.tick(root);
    // What arrives for its calls is the input's too.
    let calls = proxy.calls.take();
    for (token, piece) in calls.into_iter().zip(rest.chunks(64).cycle()) {
        let headers = vec![(b"grpc-status".to_vec(), piece.to_vec())];
        vm.call_event(token, CallEvent::Headers(headers.clone(), false));
        vm.call_event(token, CallEvent::Data(piece.to_vec(), false));
        vm.call_event(token, CallEvent::Data(piece.to_vec(), false));
        vm.call_event(token, CallEvent::Trailers(headers));
    }
    vm.log_stream(stream);
    vm.delete_stream(stream);
    vm.remove_plugin(root);
}

/// Target `configuration`.
pub fn configuration(data: &[u8]) {
    let _ = rust_wasm_module::config::PluginConfig::parse(data);
}
