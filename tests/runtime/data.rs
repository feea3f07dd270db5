//! Data segments and the memory images made of them.

use std::fmt::Write as _;

use rust_wasm::{Code, Module, Options};

use crate::support::{Guest, binary, failure, module, random::Random, says};

#[test]
fn segments_lie_where_they_belong_and_later_ones_win() {
    let guest = Guest::new(
        r#"(module (memory (export "memory") 1)
          (data (i32.const 0) "aaaaaaaa")
          (data (i32.const 4) "bbbbbbbb")
          (data (i32.const 2) "c")
          (data (i32.const 65535) "z")
          (data (i32.const 100)))"#,
    );
    assert_eq!(guest.read(0, 13), b"aacabbbbbbbb\0");
    assert_eq!(guest.read(65534, 2), b"\0z");
}

#[test]
fn an_empty_segment_may_lie_at_the_end_but_not_beyond() {
    for (offset, fits) in [
        (65535, true),
        (65536, true),
        (65537, false),
        (u32::MAX, false),
    ] {
        let module = module(&format!("(module (memory 1) (data (i32.const {offset})))"));
        let linked = Guest::of(&module, &Options::default()).try_link();
        if fits {
            linked.expect("links");
        } else {
            let error = failure(Code::Trap, linked);
            says(&error, "out of bounds memory access");
        }
    }
    let none = module("(module (memory 0) (data (i32.const 0)))");
    Guest::of(&none, &Options::default())
        .try_link()
        .expect("links");
}

#[test]
fn a_segment_out_of_bounds_fails_every_vm_of_the_module() {
    for text in [
        r#"(module (memory 1) (data (i32.const 65535) "ab"))"#,
        r#"(module (memory 0) (data (i32.const 0) "a"))"#,
        r#"(module (memory 1) (data (i32.const -1) "a"))"#,
        r#"(module (memory 1 10) (data (i32.const 65536) "a"))"#,
    ] {
        let module = module(text);
        for _ in 0..2 {
            let guest = Guest::of(&module, &Options::default());
            let error = failure(Code::Trap, guest.try_link());
            says(&error, "out of bounds memory access");
            failure(Code::InvalidState, guest.try_link());
        }
    }
}

#[test]
fn offsets_may_be_extended_constants() {
    let guest = Guest::new(
        r#"(module (memory (export "memory") 1)
          (data (i32.add (i32.const 20) (i32.const 5)) "A")
          (data (i32.sub (i32.const 0) (i32.const -30)) "B")
          (data (i32.mul (i32.const 10) (i32.const 4)) "C")
          (data (i32.add (i32.const -1) (i32.const 2)) "D")
          (data (i32.add (i32.const 0x8000_0000) (i32.const 0x8000_0032)) "F"))"#,
    );
    for (offset, byte) in [(25, b'A'), (30, b'B'), (40, b'C'), (1, b'D'), (50, b'F')] {
        assert_eq!(guest.read(offset, 1), [byte], "at {offset}");
    }
}

#[test]
fn an_offset_may_only_refer_to_imported_globals_which_no_plugin_has() {
    let text = r#"(module (memory 1) (global $g i32 (i32.const 10)) (data (global.get $g) "A"))"#;
    let error = failure(
        Code::InvalidModule,
        Module::compile(&binary(text)).map(drop),
    );
    says(&error, "global.get of locally defined global");
}

#[test]
fn segments_beyond_two_gib() {
    let module = module(
        r#"(module (memory (export "memory") 65536)
          (data (i32.const 0x80000000) "half")
          (data (i32.const 0xfffffffc) "last")
          (func (export "load") (param i32) (result i32) (i32.load (local.get 0))))"#,
    );
    let limited = Guest::of(&module, &Options::default());
    failure(Code::Resource, limited.try_link());

    let options = Options {
        max_memory_bytes: 4 << 30,
        ..Options::default()
    };
    let guest = Guest::of(&module, &options).link();
    assert_eq!(guest.memory_size(), 4 << 30);
    assert_eq!(guest.read(1 << 31, 4), b"half");
    assert_eq!(
        guest.i32("load", &vals![0xffff_fffc_u32]),
        u32::from_le_bytes(*b"last")
    );
    guest.fails(Code::Trap, "load", &vals![0xffff_fffd_u32]);
}

/// A module with so much data that its image is mapped, and functions to touch it.
fn large() -> String {
    let mut text = String::from(
        r#"(module (memory (export "memory") 8)
          (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0)))
          (func (export "store") (param i32 i32) (i32.store8 (local.get 0) (local.get 1)))
          (func (export "grow") (result i32) (memory.grow (i32.const 1)))
          (data (i32.const 5000) ""#,
    );
    for index in 0..100_000 {
        let _ = write!(text, "\\{:02x}", content(index));
    }
    text.push_str("\"))");
    text
}

fn content(index: u32) -> u8 {
    u8::try_from(index % 251).expect("small")
}

#[test]
fn a_large_image_is_complete() {
    let guest = Guest::new(&large());
    let expected: Vec<u8> = (0..100_000).map(content).collect();
    assert_eq!(guest.read(5000, 100_000), expected);
    assert!(guest.read(0, 5000).iter().all(|it| *it == 0), "before it");
    let rest = guest.memory_size() - 105_000;
    assert!(
        guest.read(105_000, rest).iter().all(|it| *it == 0),
        "after it"
    );
}

/// Adjacent, close, far, out of order, and over each other.
#[test]
fn many_small_segments_make_the_image_that_they_should() {
    const SIZE: usize = 4 << 16;
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let mut text = String::from("(module (memory (export \"memory\") 4)");
        let mut expected = vec![0; SIZE];
        let mut at = random.below(SIZE);
        for _ in 0..300 {
            at = match random.below(8) {
                0 => random.below(SIZE),
                1 => at.saturating_sub(random.below(300)),
                2 => at + random.below(6000),
                3 => at + random.below(50),
                _ => at,
            };
            let data: Vec<u8> = (0..random.below(200)).map(|_| random.byte()).collect();
            at = at.min(SIZE - data.len());
            let _ = write!(text, "(data (i32.const {at}) \"");
            for byte in &data {
                let _ = write!(text, "\\{byte:02x}");
            }
            text.push_str("\")");
            expected[at..at + data.len()].copy_from_slice(&data);
            at += data.len();
        }
        text.push(')');
        let guest = Guest::new(&text);
        assert!(guest.read(0, SIZE) == expected, "seed {seed}");
    }
}

#[test]
fn vms_do_not_see_each_others_writes() {
    let module = module(&large());
    let one = Guest::of(&module, &Options::default()).link();
    let two = Guest::of(&module, &Options::default()).link();
    let addresses = [0_u32, 4999, 5000, 50_000, 104_999, 105_000, 300_000];
    for address in addresses {
        one.results("store", &vals![address, 255_u32]);
    }
    // Neither does a VM that starts only now.
    let three = Guest::of(&module, &Options::default()).link();
    for address in addresses {
        let original = match address {
            5000..105_000 => u32::from(content(address - 5000)),
            _ => 0,
        };
        assert_eq!(one.i32("load", &vals![address]), 255);
        assert_eq!(two.i32("load", &vals![address]), original, "at {address}");
        assert_eq!(three.i32("load", &vals![address]), original, "at {address}");
    }
    drop((one, three));
    assert_eq!(two.i32("load", &vals![5001_u32]), 1);
}

#[test]
fn memory_grown_after_a_large_image_is_zero() {
    let guest = Guest::new(&large());
    assert_eq!(guest.i32("grow", &[]), 8);
    assert!(guest.read(8 << 16, 1 << 16).iter().all(|it| *it == 0));
    guest.results("store", &vals![0x8_ffff_u32, 7_u32]);
    assert_eq!(guest.i32("load", &vals![0x8_ffff_u32]), 7);
}

#[test]
fn an_image_that_ends_with_the_memory() {
    let bytes = "\\01".repeat(65536);
    let guest = Guest::new(&format!(
        r#"(module (memory (export "memory") 1)
          (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0)))
          (data (i32.const 0) "{bytes}"))"#
    ));
    assert!(guest.read(0, 65536).iter().all(|it| *it == 1));
    guest.fails(Code::Trap, "load", &vals![65536_u32]);
}

#[test]
fn sparse_segments_cost_no_file_and_are_right() {
    let filler = "\\07".repeat(10_000);
    let guest = Guest::with(
        &format!(
            r#"(module (memory (export "memory") 16000)
              (data (i32.const 16) "{filler}")
              (data (i32.const 1000000000) "far"))"#
        ),
        &Options::default(),
    );
    assert_eq!(guest.read(1_000_000_000, 4), b"far\0");
    assert_eq!(guest.read(15, 2), [0, 7]);
}

#[test]
fn passive_segments_are_copied_on_demand_and_dropped() {
    let guest = Guest::new(
        r#"(module (memory (export "memory") 1)
          (data $passive "passive")
          (data $active (i32.const 100) "active")
          (func (export "init") (param i32 i32 i32)
            (memory.init $passive (local.get 0) (local.get 1) (local.get 2)))
          (func (export "init_active") (param i32)
            (memory.init $active (i32.const 0) (i32.const 0) (local.get 0)))
          (func (export "drop") (data.drop $passive)))"#,
    );
    assert_eq!(guest.read(0, 8), [0; 8]);
    guest.results("init", &vals![1_u32, 2_u32, 5_u32]);
    assert_eq!(guest.read(0, 8), b"\0ssive\0\0");
    guest.fails(Code::Trap, "init", &vals![0_u32, 3_u32, 5_u32]);
    guest.results("init_active", &vals![0_u32]);
    guest.fails(Code::Trap, "init_active", &vals![1_u32]);
    guest.results("drop", &[]);
    guest.results("init", &vals![0_u32, 0_u32, 0_u32]);
    guest.fails(Code::Trap, "init", &vals![0_u32, 0_u32, 1_u32]);
}

#[test]
fn dropping_a_segment_is_one_vms_own_affair() {
    let module = module(
        r#"(module (memory (export "memory") 1)
          (data $d "x")
          (func (export "drop") (data.drop $d))
          (func (export "init") (memory.init $d (i32.const 0) (i32.const 0) (i32.const 1))))"#,
    );
    let one = Guest::of(&module, &Options::default()).link();
    let two = Guest::of(&module, &Options::default()).link();
    one.results("drop", &[]);
    one.fails(Code::Trap, "init", &[]);
    two.results("init", &[]);
    Guest::of(&module, &Options::default())
        .link()
        .results("init", &[]);
}

#[test]
fn element_segments_out_of_bounds_fail_the_vm() {
    let text = r#"(module (table 1 funcref) (func $f) (elem (i32.const 1) $f))"#;
    let error = failure(Code::Trap, Guest::unlinked(text).try_link());
    says(&error, "out of bounds table access");
}
