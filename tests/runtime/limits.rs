//! Memory and table limits.

use rust_wasm::{Code, Module, Options};

use crate::support::{Guest, Val, binary, failure, module, says};

const PAGE: u64 = 64 << 10;
const REFUSED: u32 = u32::MAX;

fn memory_limit(max_memory_bytes: u64) -> Options {
    Options {
        max_memory_bytes,
        ..Options::default()
    }
}

#[test]
fn a_memory_starts_within_its_limit_to_the_page() {
    for (pages, limit, fits) in [
        (10, 10 * PAGE, true),
        (10, 10 * PAGE + PAGE - 1, true),
        (10, 10 * PAGE - 1, false),
        (11, 10 * PAGE, false),
        (1, PAGE - 1, false),
        (0, 0, true),
        (1, u64::MAX, true),
        (65536, 4 << 30, true),
        (65536, (4 << 30) - 1, false),
    ] {
        let module = module(&format!("(module (memory {pages}))"));
        let linked = Guest::of(&module, &memory_limit(limit)).try_link();
        if fits {
            linked.unwrap_or_else(|error| panic!("{pages} pages, {limit} bytes: {error}"));
        } else {
            let error = failure(Code::Resource, linked);
            says(
                &error,
                &format!("the memory starts with {} bytes", pages * PAGE),
            );
        }
    }
}

#[test]
fn the_default_limit_is_one_gib() {
    let starts = |pages: u32| Guest::unlinked(&format!("(module (memory {pages}))")).try_link();
    starts(16384).expect("1 GiB");
    failure(Code::Resource, starts(16385));
}

const GROWING: &str = r#"(module (memory (export "memory") 1)
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "size") (result i32) (memory.size))
  (func (export "store") (param i32) (i32.store8 (local.get 0) (i32.const 1))))"#;

#[test]
fn a_memory_grows_within_its_limit_to_the_page() {
    let guest = Guest::with(GROWING, &memory_limit(10 * PAGE + 5));
    assert_eq!(guest.i32("grow", &vals![10_u32]), REFUSED);
    assert_eq!(guest.i32("grow", &vals![0_u32]), 1);
    assert_eq!(guest.i32("grow", &vals![9_u32]), 1);
    assert_eq!(guest.i32("grow", &vals![1_u32]), REFUSED);
    for delta in [65535, 65536, 1 << 31, u32::MAX] {
        assert_eq!(guest.i32("grow", &vals![delta]), REFUSED);
    }
    assert_eq!(guest.i32("size", &[]), 10);
    assert_eq!(guest.memory_size(), 655_360);
    guest.results("store", &vals![655_359_u32]);
    guest.fails(Code::Trap, "store", &vals![655_360_u32]);
}

#[test]
fn the_modules_own_maximum_counts_too() {
    let text = GROWING.replace("\"memory\") 1)", "\"memory\") 1 3)");
    let guest = Guest::with(&text, &memory_limit(10 * PAGE));
    assert_eq!(guest.i32("grow", &vals![3_u32]), REFUSED);
    assert_eq!(guest.i32("grow", &vals![2_u32]), 1);
    let guest = Guest::with(&text, &memory_limit(2 * PAGE));
    assert_eq!(guest.i32("grow", &vals![2_u32]), REFUSED);
    assert_eq!(guest.i32("grow", &vals![1_u32]), 1);
    // A maximum beyond the limit is no reason to refuse the module.
    Guest::with("(module (memory 1 65536))", &memory_limit(PAGE));
}

#[test]
fn a_memory_may_grow_to_four_gib() {
    let guest = Guest::with(GROWING, &memory_limit(u64::MAX));
    assert_eq!(guest.i32("grow", &vals![65535_u32]), 1);
    assert_eq!(guest.i32("grow", &vals![1_u32]), REFUSED);
    assert_eq!(guest.i32("size", &[]), 65536);
    guest.results("store", &vals![u32::MAX]);
}

#[test]
fn each_vm_has_its_own_limit_and_memory() {
    let module = module(GROWING);
    let small = Guest::of(&module, &memory_limit(2 * PAGE)).link();
    let large = Guest::of(&module, &memory_limit(100 * PAGE)).link();
    assert_eq!(small.i32("grow", &vals![5_u32]), REFUSED);
    assert_eq!(large.i32("grow", &vals![5_u32]), 1);
    assert_eq!(
        (small.memory_size(), large.memory_size()),
        (65536, 6 * 65536)
    );
}

#[test]
fn growing_until_refused_ends_and_the_vm_lives() {
    let guest = Guest::with(GROWING, &memory_limit(1000 * PAGE));
    let mut steps = 0;
    while guest.i32("grow", &vals![1_u32]) != REFUSED {
        steps += 1;
        assert!(steps < 1000);
    }
    assert_eq!((steps, guest.i32("size", &[])), (999, 1000));
}

fn table_limit(max_table_elements: u32) -> Options {
    Options {
        max_table_elements,
        ..Options::default()
    }
}

const TABLE: &str = r#"(module (table $t 5 funcref)
  (func (export "grow") (param i32) (result i32)
    (table.grow $t (ref.null func) (local.get 0)))
  (func (export "size") (result i32) (table.size $t)))"#;

#[test]
fn a_table_starts_within_its_limit() {
    Guest::with(TABLE, &table_limit(5));
    let error = failure(
        Code::Resource,
        Guest::of(&module(TABLE), &table_limit(4)).try_link(),
    );
    says(&error, "the tables start with 5 elements, the limit is 4");
    let second = module("(module (table 2 funcref) (table 4 externref))");
    failure(
        Code::Resource,
        Guest::of(&second, &table_limit(5)).try_link(),
    );
}

#[test]
fn a_table_grows_within_its_limit() {
    let guest = Guest::with(TABLE, &table_limit(8));
    assert_eq!(guest.i32("grow", &vals![4_u32]), REFUSED);
    assert_eq!(guest.i32("grow", &vals![3_u32]), 5);
    for delta in [1, 1 << 31, u32::MAX] {
        assert_eq!(guest.i32("grow", &vals![delta]), REFUSED);
    }
    assert_eq!(guest.i32("size", &[]), 8);
    let own = Guest::with(
        &TABLE.replace("5 funcref", "5 6 funcref"),
        &table_limit(100),
    );
    assert_eq!(own.i32("grow", &vals![2_u32]), REFUSED);
    assert_eq!(own.i32("grow", &vals![1_u32]), 5);
}

#[test]
fn tables_share_what_their_limit_leaves() {
    let guest = Guest::with(
        r#"(module (table $a 2 funcref) (table $b 1 externref) (table 1 1 funcref)
          (func (export "a") (param i32) (result i32)
            (table.grow $a (ref.null func) (local.get 0)))
          (func (export "b") (param i32) (result i32)
            (table.grow $b (ref.null extern) (local.get 0))))"#,
        &table_limit(14),
    );
    assert_eq!(guest.i32("a", &vals![6_u32]), REFUSED);
    assert_eq!(guest.i32("a", &vals![5_u32]), 2);
    assert_eq!(guest.i32("b", &vals![6_u32]), REFUSED);
    assert_eq!(guest.i32("b", &vals![5_u32]), 1);
}

#[test]
fn tables_that_no_code_could_address_are_refused_at_load() {
    for text in [
        "(module (table 4294967295 4294967295 funcref))",
        "(module (table 40000000 40000000 funcref) (table 40000000 40000000 funcref))",
    ] {
        let loaded = Module::compile(&binary(text)).map(drop);
        says(&failure(Code::InvalidModule, loaded), "function tables of ");
    }
}

#[test]
fn huge_declarations_are_refused_without_being_allocated() {
    let many = format!("(module {})", "(table 10001 funcref)".repeat(100));
    for text in [
        many.as_str(),
        "(module (table 1000001 funcref))",
        "(module (table 4294967295 funcref))",
        "(module (table 4294967295 4294967295 externref))",
        "(module (memory 65536))",
    ] {
        failure(Code::Resource, Guest::unlinked(text).try_link());
    }
    // Only a maximum: fine.
    Guest::new("(module (table 0 4294967295 funcref) (memory 0 65536))");
}

#[test]
fn tags_that_would_make_every_vm_large_are_refused() {
    let tags = |count: usize, parameters: usize| {
        let tag = format!("(tag (param{}))", " i32".repeat(parameters));
        Module::compile(&binary(&format!("(module {})", tag.repeat(count)))).map(drop)
    };
    tags(1000, 1).expect("as many as may be");
    tags(1, 16).expect("as many values as may be");
    for (count, parameters) in [(1001, 1), (1, 17)] {
        let error = failure(Code::InvalidModule, tags(count, parameters));
        says(&error, "more than 1000 tags, or one of more than 16 values");
    }
}

#[test]
fn a_vm_that_failed_to_link_shows_no_memory_without_an_instance() {
    for (text, size) in [
        (
            "(module (memory 1) (table 1 funcref) (func $f) (elem (i32.const 5) func $f))",
            0,
        ),
        // Here there was one, which stays with the VM.
        (
            "(module (memory 1) (func $f (unreachable)) (start $f))",
            PAGE,
        ),
    ] {
        let guest = Guest::unlinked(text);
        failure(Code::Trap, guest.try_link());
        // SAFETY: the place is the VM's own.
        let memory = unsafe { &*guest.vm().memory() };
        assert_eq!(memory.current_length as u64, size, "{text}");
        assert_eq!(memory.base.is_null(), size == 0, "{text}");
    }
}

#[test]
fn a_refused_link_leaves_the_module_usable() {
    let module = module(GROWING);
    failure(
        Code::Resource,
        Guest::of(&module, &memory_limit(PAGE - 1)).try_link(),
    );
    let guest = Guest::of(&module, &memory_limit(PAGE)).link();
    assert_eq!(guest.call("size", &[]), Val::I32(1));
}

#[test]
fn stack_sizes_out_of_range_are_refused() {
    let module = module("(module)");
    for guest_stack_bytes in [0, 1, (64 << 10) - 1, (64 << 20) + 1, usize::MAX] {
        let options = Options {
            guest_stack_bytes,
            ..Options::default()
        };
        let error = failure(
            Code::InvalidArgument,
            rust_wasm::Vm::new(&module, &options).map(drop),
        );
        says(&error, "out of range (65536 to 67108864)");
    }
}

#[test]
fn thousands_of_vms_can_be_made_or_are_refused_with_an_error() {
    let module = module(r#"(module (memory 1) (func (export "f") (result i32) (i32.const 1)))"#);
    let mut guests = Vec::new();
    for _ in 0..3000 {
        let guest = Guest::of(&module, &Options::default());
        match guest.try_link() {
            Ok(()) => guests.push(guest),
            Err(error) => {
                assert_eq!(error.code(), Code::Resource, "{error}");
                break;
            }
        }
    }
    assert!(guests.len() >= 1000, "{}", guests.len());
    assert!(guests.iter().all(|it| it.i32("f", &[]) == 1));
}
