//! AArch64, AAPCS64 calling convention.

use std::arch::naked_asm;
use std::mem::offset_of;

use wasmer_types::RawValue;
use wasmer_vm::{VMContext, VMFunctionBody, VMTrampoline};

use super::Exit;
use super::called::{TARGETS, has_room, raise_no_room, raise_pending};
use super::state::{CallState, HostBinding, Place};

/// For arguments.
pub(super) const INTEGER_REGISTERS: usize = 8;
pub(super) const FLOAT_REGISTERS: usize = 8;

// The frame's one word lies at 160.
macro_rules! save_frame {
    () => {
        "stp x29, x30, [sp, #-176]!
         mov x29, sp
         stp x19, x20, [sp, #16]
         stp x21, x22, [sp, #32]
         stp x23, x24, [sp, #48]
         stp x25, x26, [sp, #64]
         stp x27, x28, [sp, #80]
         stp d8, d9, [sp, #96]
         stp d10, d11, [sp, #112]
         stp d12, d13, [sp, #128]
         stp d14, d15, [sp, #144]"
    };
}

macro_rules! restore_frame {
    () => {
        "ldr x1, [sp, #160]
         ldp d14, d15, [sp, #144]
         ldp d12, d13, [sp, #128]
         ldp d10, d11, [sp, #112]
         ldp d8, d9, [sp, #96]
         ldp x27, x28, [sp, #80]
         ldp x25, x26, [sp, #64]
         ldp x23, x24, [sp, #48]
         ldp x21, x22, [sp, #32]
         ldp x19, x20, [sp, #16]
         ldp x29, x30, [sp], #176
         ret"
    };
}

macro_rules! touch_stack {
    () => {
        "sub x10, sp, #0x1000
         ldr xzr, [x10]
         sub x10, sp, #0x2000
         ldr xzr, [x10]"
    };
}

/// For [`super::stub_ranges`].
macro_rules! end_label {
    ($name:literal) => {
        concat!(
            ".globl envoy_wasm_runtime_",
            $name,
            "_end\n",
            ".hidden envoy_wasm_runtime_",
            $name,
            "_end\n",
            "envoy_wasm_runtime_",
            $name,
            "_end:"
        )
    };
}

#[unsafe(naked)]
pub(crate) unsafe extern "C" fn boot(
    host_sp: *mut usize,
    stack_top: usize,
    function: unsafe extern "C" fn(*mut ()),
    argument: *mut (),
) {
    naked_asm!(
        ".cfi_startproc",
        ".cfi_undefined x30",
        save_frame!(),
        "str xzr, [sp, #160]",
        "mov x9, sp",
        "str x9, [x0]",
        "mov sp, x1",
        "mov x0, x3",
        "blr x2",
        "brk #1", // `function` ends in `leave`
        ".cfi_endproc",
    )
}

#[unsafe(naked)]
pub(crate) unsafe extern "C" fn enter(
    state: *mut CallState,
    vmctx: *mut VMContext,
    body: *const VMFunctionBody,
    values: *mut RawValue,
    trampoline: VMTrampoline,
    place: *mut Place,
) -> Exit {
    naked_asm!(
        ".cfi_startproc",
        ".cfi_undefined x30",
        save_frame!(),
        "ldr x9, [x0, #{host_sp}]",
        "str x9, [sp, #160]",
        "mov x10, sp",
        "str x10, [x0, #{host_sp}]",
        "ldr x11, [x5, #{guest_sp}]",
        "mov sp, x11",
        "stp x10, x0, [sp, #-32]!",
        "str x5, [sp, #16]",
        "mov x0, x1",
        "mov x1, x2",
        "mov x2, x3",
        "blr x4",
        "ldr x5, [sp, #16]",
        "ldp x10, x9, [sp]",
        "mov sp, x10",
        "ldr x11, [sp, #160]",
        "str x11, [x9, #{host_sp}]",
        "strb wzr, [x5, #{busy}]",
        "ldp x29, x30, [sp], #176",
        "mov x0, #0",
        "ret",
        ".cfi_endproc",
        host_sp = const offset_of!(CallState, host_sp),
        guest_sp = const offset_of!(Place, guest_sp),
        busy = const offset_of!(Place, busy),
    )
}

#[unsafe(naked)]
pub(crate) unsafe extern "C" fn call_here(
    vmctx: *mut VMContext,
    body: *const VMFunctionBody,
    values: *mut RawValue,
    trampoline: VMTrampoline,
) {
    naked_asm!(
        ".cfi_startproc",
        ".cfi_undefined x30",
        "stp x29, x30, [sp, #-16]!",
        "mov x29, sp",
        "blr x3",
        "ldp x29, x30, [sp], #16",
        "ret",
        ".cfi_endproc",
    )
}

#[unsafe(naked)]
pub(crate) unsafe extern "C" fn switch(save: *mut usize, to: usize) {
    naked_asm!(
        ".cfi_startproc",
        ".cfi_undefined x30",
        save_frame!(),
        "str xzr, [sp, #160]",
        "mov x9, sp",
        "str x9, [x0]",
        "mov sp, x1",
        "mov x0, #0",
        restore_frame!(),
        ".cfi_endproc",
    )
}

#[unsafe(naked)]
pub(crate) unsafe extern "C" fn leave(to: usize) -> ! {
    naked_asm!(
        ".cfi_startproc",
        ".cfi_undefined x30",
        "mov sp, x0",
        "mov x0, #1",
        restore_frame!(),
        ".cfi_endproc",
    )
}

#[unsafe(naked)]
pub(crate) unsafe extern "C" fn import_stub() {
    naked_asm!(
        ".cfi_startproc",
        "stp x29, x30, [sp, #-32]!",
        ".cfi_def_cfa_offset 32",
        ".cfi_offset x29, -32",
        ".cfi_offset x30, -24",
        "mov x29, sp",
        ".cfi_def_cfa_register x29",
        "ldr x9, [x0, #{state}]",
        "str x9, [x29, #16]",
        "str x29, [x9, #{guest_sp}]",
        "ldr x10, [x9, #{host_sp}]",
        "ldr x11, [x0, #{stack_words}]",
        "cbnz x11, 3f",
        "2:",
        "mov sp, x10",
        "ldr x11, [x0, #{function}]",
        "ldr x0, [x0, #{data}]",
        "blr x11",
        "ldr x9, [x29, #16]",
        "ldr x10, [x9, #{trap_pending}]",
        "cbnz x10, 5f",
        "mov sp, x29",
        "ldp x29, x30, [sp], #32",
        ".cfi_remember_state",
        ".cfi_def_cfa sp, 0",
        ".cfi_restore x29",
        ".cfi_restore x30",
        "ret",
        ".cfi_restore_state",
        // Stack arguments: the guest's lie from x29 + 32 on.
        "3:",
        "lsl x12, x11, #3",
        "add x12, x12, #15",
        "and x12, x12, #-16",
        "sub x10, x10, x12",
        "add x12, x29, #32",
        "4:",
        "sub x11, x11, #1",
        "ldr x13, [x12, x11, lsl #3]",
        "str x13, [x10, x11, lsl #3]",
        "cbnz x11, 4b",
        "b 2b",
        // A trap was asked for: unwind from the guest stack.
        "5:",
        "mov sp, x29",
        touch_stack!(),
        "mov x0, x9",
        "bl {raise}",
        "brk #1",
        end_label!("import_stub"),
        ".cfi_endproc",
        function = const offset_of!(HostBinding, function),
        data = const offset_of!(HostBinding, data),
        state = const offset_of!(HostBinding, state),
        stack_words = const offset_of!(HostBinding, stack_words),
        host_sp = const offset_of!(CallState, host_sp),
        guest_sp = const offset_of!(CallState, guest_sp),
        trap_pending = const offset_of!(CallState, trap_pending),
        raise = sym raise_pending,
    )
}

#[unsafe(naked)]
pub(crate) unsafe extern "C" fn library_stub<const INDEX: usize>() {
    naked_asm!(
        ".cfi_startproc",
        "adrp x9, {targets}",
        "add x9, x9, :lo12:{targets}",
        "add x9, x9, #8 * {index}",
        "b {library_call}",
        ".cfi_endproc",
        targets = sym TARGETS,
        index = const INDEX,
        library_call = sym library_call,
    )
}

/// Goes on to the function that `x9` points to.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn library_call() {
    naked_asm!(
        ".cfi_startproc",
        touch_stack!(),
        "stp x29, x30, [sp, #-96]!",
        ".cfi_def_cfa_offset 96",
        ".cfi_offset x29, -96",
        ".cfi_offset x30, -88",
        "mov x29, sp",
        "stp x0, x1, [sp, #16]",
        "stp x2, x3, [sp, #32]",
        "stp x4, x5, [sp, #48]",
        "stp x6, x7, [sp, #64]",
        "str x9, [sp, #80]",
        "mov x0, sp",
        "bl {has_room}",
        "tbz w0, #0, 2f",
        "ldp x0, x1, [sp, #16]",
        "ldp x2, x3, [sp, #32]",
        "ldp x4, x5, [sp, #48]",
        "ldp x6, x7, [sp, #64]",
        "ldr x9, [sp, #80]",
        "ldp x29, x30, [sp], #96",
        ".cfi_remember_state",
        ".cfi_def_cfa sp, 0",
        ".cfi_restore x29",
        ".cfi_restore x30",
        // From x16 a function's beginning may be branched to where such branches are checked.
        "ldr x16, [x9]",
        "br x16",
        ".cfi_restore_state",
        "2:",
        touch_stack!(),
        "bl {raise}",
        "brk #1",
        end_label!("library_call"),
        ".cfi_endproc",
        has_room = sym has_room,
        raise = sym raise_no_room,
    )
}
