//! x86-64, System V calling convention.

use std::arch::naked_asm;
use std::mem::offset_of;

use wasmer_types::RawValue;
use wasmer_vm::{VMContext, VMFunctionBody, VMTrampoline};

use super::Exit;
use super::called::{TARGETS, has_room, raise_no_room, raise_pending};
use super::state::{CallState, HostBinding, Place};

/// For arguments.
pub(super) const INTEGER_REGISTERS: usize = 6;
pub(super) const FLOAT_REGISTERS: usize = 8;

macro_rules! save_frame {
    () => {
        "push rbp
         mov rbp, rsp
         push rbx
         push r12
         push r13
         push r14
         push r15"
    };
}

macro_rules! restore_frame {
    () => {
        "pop rdx
         pop r15
         pop r14
         pop r13
         pop r12
         pop rbx
         pop rbp
         ret"
    };
}

macro_rules! touch_stack {
    () => {
        "test [rsp - 0x1000], rsp
         test [rsp - 0x2000], rsp"
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
        ".cfi_undefined rip",
        save_frame!(),
        "push 0",
        "mov [rdi], rsp",
        "mov rsp, rsi",
        "mov rdi, rcx",
        "call rdx",
        "ud2", // `function` ends in `leave`
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
        ".cfi_undefined rip",
        save_frame!(),
        "push [rdi + {host_sp}]",
        "mov [rdi + {host_sp}], rsp",
        "mov rax, rsp",
        "mov rsp, [r9 + {guest_sp}]",
        "push rax",
        "push rdi",
        "push r9",
        "sub rsp, 8",
        "mov rdi, rsi",
        "mov rsi, rdx",
        "mov rdx, rcx",
        "call r8",
        "add rsp, 8",
        "pop r9",
        "pop rdi",
        "pop rsp",
        "pop rax",
        "mov [rdi + {host_sp}], rax",
        "mov byte ptr [r9 + {busy}], 0",
        "add rsp, 40",
        "pop rbp",
        "xor eax, eax",
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
        ".cfi_undefined rip",
        "push rbp",
        "mov rbp, rsp",
        "call rcx",
        "pop rbp",
        "ret",
        ".cfi_endproc",
    )
}

#[unsafe(naked)]
pub(crate) unsafe extern "C" fn switch(save: *mut usize, to: usize) {
    naked_asm!(
        ".cfi_startproc",
        ".cfi_undefined rip",
        save_frame!(),
        "push 0",
        "mov [rdi], rsp",
        "mov rsp, rsi",
        "xor eax, eax",
        restore_frame!(),
        ".cfi_endproc",
    )
}

#[unsafe(naked)]
pub(crate) unsafe extern "C" fn leave(to: usize) -> ! {
    naked_asm!(
        ".cfi_startproc",
        ".cfi_undefined rip",
        "mov rsp, rdi",
        "mov eax, 1",
        restore_frame!(),
        ".cfi_endproc",
    )
}

#[unsafe(naked)]
pub(crate) unsafe extern "C" fn import_stub() {
    naked_asm!(
        ".cfi_startproc",
        "push rbp",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset rbp, -16",
        "mov rbp, rsp",
        ".cfi_def_cfa_register rbp",
        "sub rsp, 16",
        "mov r10, [rdi + {state}]",
        "mov [rbp - 8], r10",
        "mov [r10 + {guest_sp}], rsp",
        "mov r11, [r10 + {host_sp}]",
        "mov rax, [rdi + {stack_words}]",
        "test rax, rax",
        "jne 3f",
        "2:",
        "mov rsp, r11",
        "mov r11, [rdi + {function}]",
        "mov rdi, [rdi + {data}]",
        "call r11",
        "mov r10, [rbp - 8]",
        "cmp qword ptr [r10 + {trap_pending}], 0",
        "jne 5f",
        "mov rsp, rbp",
        "pop rbp",
        ".cfi_remember_state",
        ".cfi_def_cfa rsp, 8",
        "ret",
        ".cfi_restore_state",
        // Stack arguments: the guest's lie from rbp + 16 on.
        "3:",
        "lea r10, [rax * 8 + 15]",
        "and r10, -16",
        "sub r11, r10",
        "4:",
        "mov r10, [rbp + rax * 8 + 8]",
        "mov [r11 + rax * 8 - 8], r10",
        "dec rax",
        "jne 4b",
        "jmp 2b",
        // A trap was asked for: unwind from the guest stack.
        "5:",
        "lea rsp, [rbp - 16]",
        touch_stack!(),
        "mov rdi, r10",
        "call {raise}",
        "ud2",
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
        "lea r11, [rip + {targets} + 8 * {index}]",
        "jmp {library_call}",
        ".cfi_endproc",
        targets = sym TARGETS,
        index = const INDEX,
        library_call = sym library_call,
    )
}

/// Goes on to the function that `r11` points to.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn library_call() {
    naked_asm!(
        ".cfi_startproc",
        touch_stack!(),
        "push rbp",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset rbp, -16",
        "mov rbp, rsp",
        ".cfi_def_cfa_register rbp",
        "push rdi",
        "push rsi",
        "push rdx",
        "push rcx",
        "push r8",
        "push r9",
        "push r11",
        "push r11",
        "mov rdi, rsp",
        "call {has_room}",
        "test al, al",
        "pop r11",
        "pop r11",
        "pop r9",
        "pop r8",
        "pop rcx",
        "pop rdx",
        "pop rsi",
        "pop rdi",
        "je 2f",
        "pop rbp",
        ".cfi_remember_state",
        ".cfi_def_cfa rsp, 8",
        "jmp qword ptr [r11]",
        ".cfi_restore_state",
        "2:",
        touch_stack!(),
        "call {raise}",
        "ud2",
        end_label!("library_call"),
        ".cfi_endproc",
        has_room = sym has_room,
        raise = sym raise_no_room,
    )
}
