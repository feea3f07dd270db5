#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::hostcalls_of_a_guest(data));
