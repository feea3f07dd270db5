//! The least that a proxy does to run a plugin: one VM, one request, and what the plugin made of
//! it. `cargo run --package proxy-wasm-host --example scripted_request -- plugin.wasm`

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use proxy_wasm_host::abi::{Direction, HostResult, LogLevel, MapType};
use proxy_wasm_host::proxy::{OwnedPairs, Proxy, Stream, StreamAction, VmId};
use proxy_wasm_host::{Plugin, Program, UsePairs, Vm, VmSettings};

/// What the plugin has of the proxy outside of requests: a log.
struct Terminal;

impl Proxy for Terminal {
    fn log(&self, level: LogLevel, message: &str) {
        println!("{level:?}: {message}");
    }

    fn log_level(&self) -> u32 {
        LogLevel::Info as u32
    }

    fn vm_failed(&self, _: VmId, error: &str) {
        println!("the plugin failed: {error}");
    }
}

/// A request that consists of headers.
#[derive(Default)]
struct Request {
    headers: RefCell<OwnedPairs>,
    actions: RefCell<Vec<StreamAction>>,
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
        // The plugin may change them meanwhile.
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

    fn act(&self, action: StreamAction) {
        self.actions.borrow_mut().push(action);
    }
}

/// Runs the plugin over one request. Returns the headers with which that goes on.
fn run(code: &[u8]) -> Result<OwnedPairs, String> {
    let program = Arc::new(Program::new(code, false)?);
    let plugin = Rc::new(Plugin {
        name: "example".into(),
        root_id: String::new(),
        configuration: b"hello".to_vec(),
        allow_on_headers_stop_iteration: false,
        log_prefix: String::new(),
        root_log_prefix: String::new(),
        proxy: Box::new(Terminal),
    });
    let vm = Vm::start(&program, &Arc::new(VmSettings::default()), &plugin)?;
    let root = vm.add_plugin(&plugin)?;

    let request = Rc::new(Request::default());
    let given = [
        (":method", "GET"),
        (":path", "/"),
        (":authority", "example"),
    ];
    let own = |(name, value): (&str, &str)| (name.into(), value.into());
    request.headers.replace(given.map(own).into());
    let stream: Rc<dyn Stream> = request.clone();
    let context = vm.add_stream(root, Rc::downgrade(&stream));
    let context = context.ok_or("the plugin is gone")?;
    let action = vm.headers(context, Direction::Request, 3, true);
    println!(
        "after the headers: {action:?}, {:?}",
        request.actions.borrow()
    );
    vm.log_stream(context);
    vm.delete_stream(context);
    vm.remove_plugin(root);
    Ok(request.headers.take())
}

fn main() {
    let code = std::env::args().nth(1).map(std::fs::read);
    let code = match code {
        None => Ok(wat::parse_bytes(PLUGIN).expect("right").into_owned()),
        Some(code) => code.map_err(|error| error.to_string()),
    };
    match code.and_then(|code| run(&code)) {
        Ok(headers) => headers.iter().for_each(|(name, value)| {
            let (name, value) = (name.escape_ascii(), value.escape_ascii());
            println!("{name}: {value}");
        }),
        Err(error) => eprintln!("{error}"),
    }
}

/// Adds a header.
const PLUGIN: &[u8] = br#"(module
  (import "env" "proxy_add_header_map_value"
    (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "x-plugin") (data (i32.const 32) "was here")
  (func (export "malloc") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (call $add (i32.const 0) (i32.const 16) (i32.const 8) (i32.const 32) (i32.const 8))))"#;

#[test]
fn the_plugin_adds_its_header() {
    let headers = run(&wat::parse_bytes(PLUGIN).expect("right")).expect("it runs");
    let added = headers.last().expect("there are some");
    assert_eq!(*added, (b"x-plugin".to_vec(), b"was here".to_vec()));
}
