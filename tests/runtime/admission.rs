//! Modules that would cost the compiler far more than their size lets expect are refused before
//! it sees them. Each of these took it seconds, or hundreds of megabytes.

use rust_wasm::{Code, Module};

use crate::support::bytes::{Bytes, END, leb128};
use crate::support::{binary, failure, says};

const ZERO: [u8; 2] = [0x41, 0];
const BLOCK: [u8; 2] = [0x02, 0x40];
const LOOP: [u8; 2] = [0x03, 0x40];
const IF: [u8; 2] = [0x04, 0x40];
const BR_IF: [u8; 2] = [0x0d, 0];
const DROP: u8 = 0x1a;
const ADD: u8 = 0x6a;

fn is_refused(module: &Bytes, why: &str) {
    let error = failure(
        Code::InvalidModule,
        Module::compile(&module.write()).map(drop),
    );
    says(&error, "to compile this module would take some ");
    says(&error, why);
}

fn is_taken(module: &Bytes) {
    Module::compile(&module.write()).expect("cheap enough");
}

fn types(count: usize, values: usize) -> Bytes {
    Bytes {
        types: vec![(values, values); count],
        ..Bytes::default()
    }
}

/// A function of no parameters.
fn function(locals: usize, code: Vec<u8>) -> Bytes {
    functions(1, locals, code)
}

fn functions(count: usize, locals: usize, code: Vec<u8>) -> Bytes {
    Bytes {
        types: vec![(0, 0)],
        functions: vec![(0, locals, code); count],
        has_memory: true,
        ..Bytes::default()
    }
}

fn local(operator: u8, index: usize) -> Vec<u8> {
    [vec![operator], leb128(index)].concat()
}

/// Adds one to each local.
fn add_to_locals(count: usize) -> Vec<u8> {
    let add = |it| [local(0x20, it), vec![0x41, 1, ADD], local(0x21, it)].concat();
    (0..count).flat_map(add).collect()
}

fn nested_loops(count: usize, inside: &[u8]) -> Vec<u8> {
    let end = [&ZERO[..], &BR_IF, &[END]].concat();
    [&LOOP.repeat(count), inside, &end.repeat(count)].concat()
}

#[test]
fn types_of_many_values() {
    is_refused(&types(100, 1000), "most of it for its types");
    is_refused(&types(1000, 1000), "would take some 46.");
    is_taken(&types(1000, 8));
    is_taken(&types(4, 1000));
}

#[test]
fn imports_of_many_values() {
    let imports = |count, values| Bytes {
        types: vec![(values, 0)],
        imports: count,
        ..Bytes::default()
    };
    let loaded = Module::compile(&imports(990, 1000).write()).map(drop);
    let error = failure(Code::Link, loaded);
    says(&error, "a host function cannot be (i32, ");
    assert!(error.message().len() < 500, "{error}");
    is_refused(&imports(10_000, 16), "most of it for its imports");
    is_taken(&imports(1000, 10));
}

#[test]
fn nested_blocks_of_many_results() {
    let nested = |count: usize, results| {
        let targets: Vec<u8> = (0..count).flat_map(leb128).collect();
        let code = [
            [0x02, 1].repeat(count),
            ZERO.repeat(results + 1),
            [vec![0x0e], leb128(count - 1), targets].concat(),
            vec![END; count],
            vec![DROP; results],
        ];
        Bytes {
            types: vec![(0, 0), (0, results)],
            functions: vec![(0, 0, code.concat())],
            ..Bytes::default()
        }
    };
    is_refused(
        &nested(15_000, 1000),
        "for the blocks' values of function 0",
    );
    // As deep as the largest function of a Go module of 14 MB.
    is_taken(&nested(3300, 1));
}

#[test]
fn loops() {
    for count in [50_000, 100_000] {
        is_refused(&function(0, nested_loops(count, &[])), "of function 0");
    }
    let one = [&LOOP[..], &[END]].concat();
    is_refused(
        &function(0, one.repeat(50_000)),
        "for the loops and calls of",
    );
    is_taken(&function(0, nested_loops(1000, &[])));
    is_taken(&function(0, one.repeat(5000)));
}

#[test]
fn locals() {
    is_refused(
        &functions(2000, 49_000, vec![]),
        "for the locals of function ",
    );
    is_taken(&functions(30, 49_000, vec![]));
}

#[test]
fn locals_in_loops() {
    let carrying = |loops, locals| nested_loops(loops, &add_to_locals(locals));
    for (count, loops, locals) in [(3, 2000, 2000), (1, 100, 1000), (1, 400, 100)] {
        let module = functions(count, locals, carrying(loops, locals));
        is_refused(&module, "for the locals that loops assign of function 0");
    }
    is_taken(&function(250, carrying(10, 250)));
}

#[test]
fn locals_in_branches() {
    let branch = |locals| [&ZERO[..], &IF, &add_to_locals(locals), &[END]].concat();
    let read: Vec<u8> = (0..1000)
        .flat_map(|it| [local(0x20, it), vec![DROP]].concat())
        .collect();
    let empty = [&ZERO[..], &IF, &[END]].concat().repeat(20_000);
    is_refused(
        &function(1000, branch(1000).repeat(100)),
        "that branches assign",
    );
    is_refused(
        &function(1000, [empty, read].concat()),
        "locals in so many blocks",
    );
    is_taken(&function(250, branch(250).repeat(10)));
}

#[test]
fn calls_of_many_values() {
    let code = [ZERO.repeat(1000), [0x10, 1].repeat(100), vec![DROP; 1000]].concat();
    let callee: Vec<u8> = (0..1000).flat_map(|it| local(0x20, it)).collect();
    let module = Bytes {
        types: vec![(0, 0), (1000, 1000)],
        functions: vec![(0, 0, code), (1, 0, callee)],
        ..Bytes::default()
    };
    is_refused(
        &module,
        "for the calls' arguments and results of function 0",
    );
}

#[test]
fn many_calls_in_one_function() {
    let calls = |count| Bytes {
        types: vec![(0, 0)],
        imports: 1,
        functions: vec![(0, 0, [0x10, 0].repeat(count))],
        ..Bytes::default()
    };
    is_refused(&calls(20_000), "for the loops and calls of function 1");
    is_taken(&calls(5000));
}

#[test]
fn exception_handlers() {
    let handlers = |count: usize| {
        let one = "(block (try_table (catch_all 0) (call $f)))";
        binary(&format!("(module (func $f {}))", one.repeat(count)))
    };
    let error = failure(
        Code::InvalidModule,
        Module::compile(&handlers(5000)).map(drop),
    );
    says(&error, "for the exception handlers of function 0");
    Module::compile(&handlers(200)).expect("cheap enough");
}

#[test]
fn blocks_that_carry_nothing_may_be_many() {
    is_taken(&function(
        0,
        [BLOCK.repeat(20_000), vec![END; 20_000]].concat(),
    ));
    is_taken(&functions(20_000, 0, vec![]));
}

#[test]
fn tail_calls_are_refused_by_name() {
    let text = "(module (func $f (return_call $f)))";
    let error = failure(
        Code::InvalidModule,
        Module::compile(&binary(text)).map(drop),
    );
    says(&error, "function 0: tail calls are not supported");
}

/// `nullexnref` is valid with exceptions; wasmer panicked at one in a table or a global.
#[test]
fn types_that_the_compiler_does_not_have_are_refused_by_name() {
    for text in [
        "(module (table 0 nullexnref))",
        "(module (global nullexnref (ref.null noexn)))",
        "(module (elem nullexnref (ref.null noexn)))",
        "(module (type (func (param nullexnref))))",
        "(module (func (local nullexnref)))",
        "(module (func (drop (block (result nullexnref) (unreachable)))))",
        "(module (func (drop (ref.null noexn))))",
    ] {
        let loaded = Module::compile(&binary(text)).map(drop);
        let error = failure(Code::InvalidModule, loaded);
        says(&error, "nullexnref is not supported");
    }
}
