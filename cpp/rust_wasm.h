// C ABI of envoy.wasm.runtime.rust, a WebAssembly runtime on wasmer.
//
// Concepts
//   module  compiled bytecode. Immutable, reference counted, shared by threads.
//   VM      one store and one instance of a module: linear memory, globals,
//           tables, and the host functions it may call.
//   func    an exported function of one VM, looked up and type-checked once.
//
// Life cycle
//   rust_wasm_module_load -> rust_wasm_vm_new -> rust_wasm_vm_define (once per
//   import) -> rust_wasm_vm_link -> rust_wasm_vm_func -> rust_wasm_func_call ...
//   A call made out of this order returns RUST_WASM_INVALID_STATE.
//   To clone a VM, make a new one from the same module.
//
// Ownership
//   `_new`, `_load` and `_serialize` hand out objects that the caller frees with
//   the matching `_free`. Every `_free` accepts null and must be called at most
//   once per object. `const` pointers that are returned belong to the object they
//   came from.
//
// Errors
//   A function that can fail returns rust_wasm_error_t*: null is success,
//   anything else is an owned error. Outputs are written only on success. There
//   is no thread-local "last error". A null handle, or a null output pointer, is
//   RUST_WASM_INVALID_ARGUMENT, never a crash. A pointer to data is not read when
//   its length is zero.
//
// Threads
//   Modules and errors may be used from any thread. A VM may move between
//   threads but is used by one at a time; the exception is
//   rust_wasm_vm_terminate. A VM and its funcs must not be freed while a call
//   into that VM is running (rust_wasm_vm_free then leaks the VM, and cannot say so).
//
// Panics, exceptions, signals
//   No Rust panic leaves this interface: it becomes RUST_WASM_PANIC and the VM
//   refuses further calls. Host functions must not throw and must not longjmp.
//   The first module or VM installs handlers for SIGSEGV, SIGILL and SIGFPE which
//   claim only faults of guest code and pass others to the previous handler.
#ifndef RUST_WASM_H_
#define RUST_WASM_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// ---------------------------------------------------------------- plain types

// Borrowed bytes. `data` may be null when `size` is 0. Not null-terminated.
typedef struct rust_wasm_slice {
  const uint8_t* data;
  size_t size;
} rust_wasm_slice_t;

// Why an operation failed. The values are stable.
typedef enum rust_wasm_code {
  RUST_WASM_INVALID_ARGUMENT = 1, // null handle, bad index, unknown type
  RUST_WASM_INVALID_STATE = 2,    // wrong order of calls, or the VM has failed
  RUST_WASM_INVALID_MODULE = 3,   // malformed or unsupported bytecode
  RUST_WASM_INCOMPATIBLE = 4,     // precompiled code that this build must not run
  RUST_WASM_LINK = 5,             // missing import, wrong import or export type
  RUST_WASM_RESOURCE = 6,         // memory limit or operating system limit
  RUST_WASM_TRAP = 7,             // the guest trapped
  RUST_WASM_INTERRUPT = 8,        // terminated, or the call's deadline passed
  RUST_WASM_HOST_TRAP = 9,        // a host function called rust_wasm_vm_trap
  RUST_WASM_PANIC = 10,           // a bug in this library, contained
} rust_wasm_code_t;

// Value types, with the encoding of the WebAssembly binary format.
typedef enum rust_wasm_type {
  RUST_WASM_I32 = 0x7f,
  RUST_WASM_I64 = 0x7e,
  RUST_WASM_F32 = 0x7d,
  RUST_WASM_F64 = 0x7c,
} rust_wasm_type_t;

// One argument or result slot, in host byte order.
typedef union rust_wasm_value {
  uint32_t i32;
  uint64_t i64;
  float f32;
  double f64;
  uint64_t slot[2]; // fixes size (16) and, with the attribute, alignment (16)
}
#if defined(__GNUC__)
__attribute__((aligned(16)))
#endif
rust_wasm_value_t;

// A function type. `params` and `results` hold rust_wasm_type_t values, one byte
// each.
typedef struct rust_wasm_signature {
  rust_wasm_slice_t params;
  rust_wasm_slice_t results;
} rust_wasm_signature_t;

// Where a VM's linear memory lies. `data` and `size` (bytes) change when the
// guest or the host grows it, so read them for each access; never across a call.
typedef struct rust_wasm_memory {
  uint8_t* data;
  size_t size;
} rust_wasm_memory_t;

// Limits of one VM. Zero takes the default.
typedef struct rust_wasm_options {
  // Linear memory, bytes, rounded down to pages of 64 KiB. Default 1 GiB.
  uint64_t max_memory_bytes;
  // Elements of all tables together; each may grow by an equal share of what
  // their initial sizes leave. Default 1 000 000.
  uint32_t max_table_elements;
  // Frames in an error's backtrace. Default 64.
  uint32_t max_backtrace_frames;
  // Stack for guest code, bytes, rounded up to pages; a nested call has half of it
  // at least. Default 1 MiB.
  uint64_t guest_stack_bytes;
  // Longest time for one outermost call, nanoseconds. Default: no deadline.
  uint64_t call_deadline_ns;
  // Folder for compiled code, or empty for none. It must be writable by this
  // process alone: its contents are machine code and are run. Default none. What
  // was used least recently goes when they have more bytes together than the
  // environment variable RUST_WASM_CACHE_MAX_BYTES says (1 GiB).
  rust_wasm_slice_t cache_dir;
} rust_wasm_options_t;

// An entry of a module's index-to-name map.
typedef struct rust_wasm_name {
  uint32_t index;
  rust_wasm_slice_t name;
} rust_wasm_name_t;

typedef struct rust_wasm_error rust_wasm_error_t;
typedef struct rust_wasm_module rust_wasm_module_t;
typedef struct rust_wasm_bytes rust_wasm_bytes_t;
typedef struct rust_wasm_vm rust_wasm_vm_t;
typedef struct rust_wasm_func rust_wasm_func_t;

// ------------------------------------------------------------------- process

// "<version> wasmer <version>", static. Part of the precompiled section's name.
rust_wasm_slice_t rust_wasm_version(void);

// Fills `options` with the defaults, overridden by the environment variables
// RUST_WASM_MAX_MEMORY_BYTES, RUST_WASM_MAX_TABLE_ELEMENTS,
// RUST_WASM_GUEST_STACK_BYTES, RUST_WASM_CALL_DEADLINE_MS, RUST_WASM_CACHE_DIR
// and RUST_WASM_MAX_BACKTRACE_FRAMES, which are read once per process. A variable
// that does not parse is an error that names it, and so is a file of limits that
// RUST_WASM_LIMITS_FILE names (see rust_wasm_vm_link).
rust_wasm_error_t* rust_wasm_options_init(rust_wasm_options_t* options);

// A warning for the process's log, static, or empty: it names the environment
// variables that begin with RUST_WASM_ and mean nothing. The first call gets it.
rust_wasm_slice_t rust_wasm_take_warning(void);

// Does the process's first-time work (signal handlers, compiler set-up, this
// thread's guest stack), so that the first load and call need not. Idempotent.
rust_wasm_error_t* rust_wasm_warm(void);

// -------------------------------------------------------------------- errors

void rust_wasm_error_free(rust_wasm_error_t* error);
rust_wasm_code_t rust_wasm_error_code(const rust_wasm_error_t* error);
// What went wrong, one line, UTF-8, at most 4 kB.
rust_wasm_slice_t rust_wasm_error_message(const rust_wasm_error_t* error);
// The guest's backtrace, or empty: a line per frame, innermost first,
// "  0:  0x<module offset> - <function>", joined by '\n'. At most 16 kB.
rust_wasm_slice_t rust_wasm_error_backtrace(const rust_wasm_error_t* error);

// ------------------------------------------------------------------- modules

// Compiles `bytecode`, or takes `precompiled` (the payload of
// rust_wasm_module_serialize) when it was made from this very bytecode by a
// runtime like this one on a CPU like this one. A precompiled module that cannot
// be used is ignored when there is bytecode (see rust_wasm_module_precompiled);
// without bytecode it is RUST_WASM_INCOMPATIBLE. `precompiled` is code: it must
// come from whom you would trust with this process.
// `names` overrides the name section for backtraces. `options` may be null; only
// its cache_dir counts here.
rust_wasm_error_t* rust_wasm_module_load(rust_wasm_slice_t bytecode, rust_wasm_slice_t precompiled,
                                         const rust_wasm_name_t* names, size_t names_size,
                                         const rust_wasm_options_t* options,
                                         rust_wasm_module_t** out);
// A further handle to the same module. Null gives null.
rust_wasm_module_t* rust_wasm_module_clone(const rust_wasm_module_t* module);
void rust_wasm_module_free(rust_wasm_module_t* module);
// Whether the compiled code came from `precompiled` or from the cache.
bool rust_wasm_module_precompiled(const rust_wasm_module_t* module);
// Why `precompiled` or the cache was not used; empty if it was or none was given.
rust_wasm_slice_t rust_wasm_module_precompiled_rejection(const rust_wasm_module_t* module);
// The position of a function import, or -1 if the module does not import it.
// Constant time; a name costs a VM nothing unless its module imports it.
int64_t rust_wasm_module_import(const rust_wasm_module_t* module, rust_wasm_slice_t module_name,
                                rust_wasm_slice_t name);
rust_wasm_error_t* rust_wasm_module_serialize(const rust_wasm_module_t* module,
                                              rust_wasm_bytes_t** out);
rust_wasm_slice_t rust_wasm_bytes_view(const rust_wasm_bytes_t* bytes);
void rust_wasm_bytes_free(rust_wasm_bytes_t* bytes);

// ----------------------------------------------------------------------- VMs

// Makes a VM. It holds its own reference to `module`. `options` may be null.
rust_wasm_error_t* rust_wasm_vm_new(const rust_wasm_module_t* module,
                                    const rust_wasm_options_t* options, rust_wasm_vm_t** out);
// Frees the VM and all its funcs. If one of its calls is still running (a host
// function freeing the VM that called it), the VM is leaked rather than freed.
void rust_wasm_vm_free(rust_wasm_vm_t* vm);

// A host function: `result fn(void* data, args...)` in the C calling convention,
// where i32 is uint32_t, i64 is uint64_t, f32 is float and f64 is double. It runs
// on the stack of the thread that called into the VM, in host byte order, and may
// call into this or any other VM. Cast it to this type.
typedef void (*rust_wasm_host_fn_t)(void);

// Sets the function for import number `import` (rust_wasm_module_import).
// `signature` must be the import's type and have at most 16 parameters and one
// result. `data` is passed to each call and must outlive the VM. The last
// definition of an import counts. Fails once the VM is linked.
rust_wasm_error_t* rust_wasm_vm_define(rust_wasm_vm_t* vm, uint32_t import,
                                       rust_wasm_signature_t signature, rust_wasm_host_fn_t fn,
                                       void* data);

// Instantiates the module: every import must be defined; memory, tables and
// globals are initialised and the start function, if any, is run. `name` is used
// in errors; limits that the file of RUST_WASM_LIMITS_FILE has for a vm_id of this
// name replace the VM's. On failure the VM has failed and can only be freed.
rust_wasm_error_t* rust_wasm_vm_link(rust_wasm_vm_t* vm, rust_wasm_slice_t name);

// The VM's linear memory, under whatever name it is exported: a module has one at
// most. The address is stable from rust_wasm_vm_new until rust_wasm_vm_free; what
// stands there is size 0 before rust_wasm_vm_link and without a memory. Null for
// null.
const rust_wasm_memory_t* rust_wasm_vm_memory(const rust_wasm_vm_t* vm);

// Looks up an exported function. `*out` is null if there is none of that name.
// One of another type is RUST_WASM_LINK, with both types in the message. The func
// belongs to the VM; asking twice gives the same func.
rust_wasm_error_t* rust_wasm_vm_func(rust_wasm_vm_t* vm, rust_wasm_slice_t name,
                                     rust_wasm_signature_t signature, const rust_wasm_func_t** out);

// Calls a func on its VM. `values` has as many slots as the type has parameters
// or results, whichever are more: it holds the arguments, and on success the
// results. May be null if there are neither. On failure its contents are
// unspecified. A trap ends the call, not the VM; a termination or a panic ends
// the VM.
rust_wasm_error_t* rust_wasm_func_call(const rust_wasm_func_t* func, rust_wasm_value_t* values);

// To be called from within a host function of this VM: makes the guest trap with
// this message as soon as the host function returns; what it returns is dropped.
// Outside a call it does nothing.
void rust_wasm_vm_trap(rust_wasm_vm_t* vm, rust_wasm_slice_t message);

// Ends the VM: its running call stops at the next check that was compiled in,
// and that call and all later ones return RUST_WASM_INTERRUPT. May be called from
// any thread while the VM lives. Affects no other VM.
void rust_wasm_vm_terminate(const rust_wasm_vm_t* vm);

#ifdef __cplusplus
} // extern "C"
#endif

#endif // RUST_WASM_H_
