// The AssemblyScript twin of ../rust-sdk: another compiler, another allocator (garbage
// collected), and logs that go through WASI's fd_write rather than proxy_log.
export * from "@gcoredev/proxy-wasm-sdk-as/assembly/proxy";
import {
  BufferTypeValues,
  Context,
  FilterDataStatusValues,
  FilterHeadersStatusValues,
  get_buffer_bytes,
  log,
  LogLevelValues,
  registerRootContext,
  RootContext,
  set_buffer_bytes,
  stream_context,
} from "@gcoredev/proxy-wasm-sdk-as/assembly";

class Root extends RootContext {
  onConfigure(size: u32): bool {
    const valid = super.onConfigure(size);
    log(LogLevelValues.info, "configured with '" + this.getConfiguration() + "'");
    return valid && this.getConfiguration() != "refuse";
  }

  createContext(id: u32): Context {
    return new Filter(id, this);
  }
}

class Filter extends Context {
  onRequestHeaders(count: u32, end_of_stream: bool): FilterHeadersStatusValues {
    const headers = stream_context.headers.request;
    misbehave(headers.get("x-do"));
    log(LogLevelValues.info, "path " + headers.get(":path"));
    headers.add("x-plugin", this.root_context.getConfiguration());
    return FilterHeadersStatusValues.Continue;
  }

  onRequestBody(size: usize, end_of_stream: bool): FilterDataStatusValues {
    log(LogLevelValues.info, "body of " + size.toString());
    const body = get_buffer_bytes(BufferTypeValues.HttpRequestBody, 0, <u32>size);
    const upper = String.UTF8.encode(String.UTF8.decode(body).toUpperCase());
    set_buffer_bytes(BufferTypeValues.HttpRequestBody, 0, <u32>size, upper);
    return FilterDataStatusValues.Continue;
  }

  onDone(): bool {
    log(LogLevelValues.warn, "done");
    return super.onDone();
  }

  onLog(): void {
    log(LogLevelValues.error, "log");
  }
}

// What a broken plugin does, when a request asks for it.
function misbehave(what: string): void {
  if (what == "panic") throw new Error("asked to panic");
  if (what == "spin") while (true) spins++;
  if (what == "grow") while (true) kept.push(new ArrayBuffer(1 << 20));
}
let spins: u64 = 0;
const kept: ArrayBuffer[] = [];

registerRootContext((id: u32) => new Root(id), "assemblyscript");
