//! Guest memory as the host sees it: every edge, growth, and modules with odd memories.

use adaptor_tests::*;

const PAGE: u64 = 1 << 16;

#[test]
fn reads_and_writes() {
    let vm = run("memory");
    assert_eq!(vm.memory_size(), PAGE);
    assert_eq!(vm.read(16, 5), b"hello");
    assert!(vm.write(0, &[1, 2, 3, 4]));
    assert_eq!(vm.value("load", &[0]), 0x0403_0201);
    assert!(vm.set_word(8, 0xffff_ffff_1234_5678));
    assert_eq!(vm.value("load", &[8]), 0x1234_5678);
    assert!(vm.call_void("store", &[12, 0x8000_0001]));
    assert_eq!(
        vm.word(12),
        Found {
            found: true,
            value: 0x8000_0001
        }
    );
    assert_eq!(vm.read(8, 4), [0x78, 0x56, 0x34, 0x12], "little-endian");
}

#[test]
fn every_edge_of_one_page() {
    let vm = run("memory");
    let inside = [(0, 0), (0, PAGE), (PAGE - 1, 1), (PAGE, 0), (1, PAGE - 1)];
    let wraps_32 = 1 << 32;
    let outside = [
        (0, PAGE + 1),
        (1, PAGE),
        (PAGE - 1, 2),
        (PAGE, 1),
        (PAGE + 1, 0),
        (wraps_32 - 1, 0),
        (wraps_32 - 1, 1),
        (wraps_32 - 1, 2),
        (wraps_32, 0),
        (wraps_32, 1),
        (1, wraps_32 - 1),
        (0, wraps_32),
        (u64::MAX, 0),
        (u64::MAX, 1),
        (u64::MAX, 2),
        (1, u64::MAX),
        (2, u64::MAX - 1),
        (u64::MAX, u64::MAX),
        (1 << 63, 1 << 63),
        (0, u64::MAX),
    ];
    for (pointer, size) in inside {
        assert!(vm.has_memory(pointer, size), "{pointer:#x}, {size:#x}");
    }
    for (pointer, size) in outside {
        assert!(!vm.has_memory(pointer, size), "{pointer:#x}, {size:#x}");
    }
    for pointer in [PAGE - 4, 0] {
        assert!(
            vm.word(pointer).found && vm.set_word(pointer, 1),
            "{pointer:#x}"
        );
    }
    for pointer in [
        PAGE - 3,
        PAGE,
        wraps_32 - 1,
        wraps_32,
        u64::MAX,
        u64::MAX - 3,
    ] {
        assert!(
            !vm.word(pointer).found && !vm.set_word(pointer, 1),
            "{pointer:#x}"
        );
        assert!(!vm.write(pointer, &[0; 4]), "{pointer:#x}");
    }
    assert!(vm.write_nothing(PAGE), "zero bytes are never read");
    assert!(!vm.write_nothing(PAGE + 1));
}

#[test]
fn every_edge_of_the_largest_memory() {
    let end = 1_u64 << 32;
    let vm = linked(
        &wat("memory_4gib"),
        &Limits {
            memory_bytes: end,
            ..Limits::default()
        },
    );
    assert_eq!(vm.memory_size(), end);
    for (pointer, size) in [(end - 1, 1), (end, 0), (0, end), (end - 4, 4)] {
        assert!(vm.has_memory(pointer, size), "{pointer:#x}, {size:#x}");
    }
    for (pointer, size) in [
        (end, 1),
        (end - 1, 2),
        (0, end + 1),
        (u64::MAX, 1),
        (end + 1, 0),
    ] {
        assert!(!vm.has_memory(pointer, size), "{pointer:#x}, {size:#x}");
    }
    assert!(vm.set_word(end - 4, 0x1234_5678));
    assert_eq!(vm.value("load8", &[end - 1]), 0x12);
    assert!(vm.call_void("store8", &[end - 4, 0xff]));
    assert_eq!(vm.word(end - 4).value, 0x1234_56ff);
}

#[test]
fn growth_shows_at_once() {
    let vm = run("memory");
    assert_eq!(vm.value("grow", &[2]), 1);
    assert_eq!(vm.memory_size(), 3 * PAGE);
    assert!(vm.write(3 * PAGE - 1, &[7]));
    assert!(!vm.has_memory(3 * PAGE, 1));
    assert_eq!(vm.read(16, 5), b"hello");
}

#[test]
fn the_limit_refuses_growth_without_a_trap() {
    let limits = Limits {
        memory_bytes: 5 * PAGE,
        ..Limits::default()
    };
    let vm = linked(&wat("memory"), &limits);
    assert_eq!(vm.value("grow_to_limit", &[]), 5);
    assert_eq!(vm.value("grow", &[1]), 0xffff_ffff);
    assert_eq!(vm.memory_size(), 5 * PAGE);
    assert!(!vm.failed());

    let clone = vm.clone_vm();
    assert!(clone.link("clone"));
    assert_eq!(
        clone.value("grow_to_limit", &[]),
        5,
        "a clone keeps the limit"
    );
}

#[test]
fn the_limit_is_1_gib_unless_set() {
    let vm = run("memory");
    assert_eq!(vm.value("grow", &[16383]), 1);
    assert_eq!(vm.memory_size(), 1 << 30);
    assert_eq!(vm.value("grow", &[1]), 0xffff_ffff);
}

#[test]
fn a_module_that_starts_above_the_limit_is_refused() {
    let vm = ffi::new_vm(&Limits::default());
    assert!(!(vm.load(&wat("memory_2gib"), &[]) && vm.link("test")));
    assert!(vm.failed());
}

#[test]
fn the_modules_own_maximum_holds() {
    let vm = run("memory_with_maximum");
    assert_eq!(vm.value("grow", &[3]), 0xffff_ffff);
    assert_eq!(vm.value("grow", &[2]), 1);
}

#[test]
fn without_a_memory_nothing_can_be_read() {
    let vm = run("no_memory");
    assert_eq!(vm.memory_size(), 0);
    assert!(vm.has_memory(0, 0));
    assert!(!vm.has_memory(0, 1));
    assert!(!vm.word(0).found);
    assert_eq!(vm.value("ok", &[]), 42);
}

#[test]
fn a_memory_of_another_name_or_none_is_found() {
    for name in [
        "memory_other_name",
        "memory_not_exported",
        "memory_name_taken",
    ] {
        let vm = run(name);
        assert_eq!(vm.memory_size(), PAGE, "{name}");
    }
    assert_eq!(run("memory_other_name").read(0, 4), b"here");
}

#[test]
fn data_segments_lie_where_they_should() {
    let vm = run("data");
    assert_eq!(vm.read(0, 6), b"first\0");
    assert_eq!(vm.read(65533, 6), b"border");
    assert_eq!(vm.read(100, 6), b"aabbaa");
    assert_eq!(vm.read(3 * PAGE - 4, 4), b"last");
    assert_eq!(run("data_extended_const").read(40, 5), b"forty");
}

#[test]
fn what_one_clone_writes_no_other_sees() {
    let base = run("data");
    assert!(base.write(0, b"dirty"));
    let clone = base.clone_vm();
    assert!(clone.link("clone"));
    assert_eq!(clone.read(0, 5), b"first");
    assert!(clone.write(65533, b"BORDER"));
    assert_eq!(base.read(65533, 6), b"border");
}

#[test]
fn a_segment_out_of_bounds_fails_the_link() {
    for name in ["data_out_of_bounds", "elem_out_of_bounds"] {
        let vm = ffi::new_vm(&Limits::default());
        assert!(!(vm.load(&wat(name), &[]) && vm.link("test")), "{name}");
        assert!(vm.failed());
    }
}
