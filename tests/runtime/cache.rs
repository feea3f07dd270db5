//! The code cache.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use rust_wasm::{Module, Options, Source};

use crate::support::{Guest, binary};

/// A folder of its own for a test, removed at the end.
struct Folder(PathBuf);

impl Folder {
    /// A path that does not exist.
    fn absent() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let unique = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("rust-wasm-cache-{}-{unique}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn new() -> Self {
        let folder = Self::absent();
        fs::create_dir(&folder.0).expect("a new folder");
        folder.allow(0o700);
        folder
    }

    fn allow(&self, mode: u32) {
        fs::set_permissions(&self.0, fs::Permissions::from_mode(mode)).expect("one's own");
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.0).expect("readable");
        entries.map(|it| it.expect("readable").path()).collect()
    }

    fn load(&self, bytecode: &[u8]) -> Module {
        load(&self.0, bytecode)
    }

    /// Loads through a cache of so many bytes.
    fn load_within(&self, max_bytes: u64, bytecode: &[u8]) -> Module {
        load_with(
            bytecode,
            Options {
                cache_dir: Some(self.0.clone()),
                cache_max_bytes: max_bytes,
                ..Options::default()
            },
        )
    }

    /// The time of last use is set by hand: clocks are coarse.
    fn make_older(&self, file: &Path, seconds: u64) {
        let time = SystemTime::now() - Duration::from_secs(seconds);
        let file = fs::File::open(file).expect("readable");
        file.set_modified(time).expect("one's own");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn load(dir: &Path, bytecode: &[u8]) -> Module {
    load_with(
        bytecode,
        Options {
            cache_dir: Some(dir.to_owned()),
            ..Options::default()
        },
    )
}

fn load_with(bytecode: &[u8], options: Options) -> Module {
    let source = Source {
        bytecode,
        ..Source::default()
    };
    Module::load(source, &options).expect("loads whatever the cache does")
}

fn answer(module: &Module) -> u32 {
    Guest::of(module, &Options::default()).link().i32("f", &[])
}

fn bytecode(answer: u32) -> Vec<u8> {
    binary(&format!(
        r#"(module (func (export "f") (result i32) (i32.const {answer})))"#
    ))
}

#[test]
fn the_second_load_finds_the_code_of_the_first() {
    let folder = Folder::new();
    let first = folder.load(&bytecode(1));
    assert!(!first.is_precompiled());
    assert_eq!(first.precompiled_rejection(), "");
    let second = folder.load(&bytecode(1));
    assert!(second.is_precompiled());
    assert_eq!((answer(&first), answer(&second)), (1, 1));
    // Another module is another file.
    assert!(!folder.load(&bytecode(2)).is_precompiled());
    assert_eq!(answer(&folder.load(&bytecode(2))), 2);
    assert_eq!(folder.files().len(), 2);
}

#[test]
fn the_folder_is_made_and_its_files_are_private() {
    let folder = Folder::absent();
    assert!(!folder.load(&bytecode(1)).is_precompiled());
    assert!(folder.load(&bytecode(1)).is_precompiled());
    for file in folder.files() {
        let mode = fs::metadata(&file).expect("exists").mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
}

#[test]
fn a_damaged_file_is_replaced() {
    let folder = Folder::new();
    folder.load(&bytecode(1));
    let file = folder.files().remove(0);
    let good = fs::read(&file).expect("readable");
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    for bad in [&good[..good.len() - 1], &flipped, b"", b"junk"] {
        fs::write(&file, bad).expect("writable");
        let module = folder.load(&bytecode(1));
        assert!(!module.is_precompiled());
        assert_eq!(answer(&module), 1);
        assert!(folder.load(&bytecode(1)).is_precompiled(), "stored again");
    }
}

#[test]
fn one_modules_file_under_anothers_name_is_refused() {
    let folder = Folder::new();
    folder.load(&bytecode(1));
    let first = folder.files().remove(0);
    folder.load(&bytecode(2));
    let second = folder
        .files()
        .into_iter()
        .find(|it| *it != first)
        .expect("two files");
    fs::copy(&first, &second).expect("copied");
    let module = folder.load(&bytecode(2));
    assert!(!module.is_precompiled());
    assert!(module.precompiled_rejection().contains("other bytecode"));
    assert_eq!(answer(&module), 2);
}

#[test]
fn a_folder_that_others_can_write_to_is_not_used() {
    let folder = Folder::new();
    folder.load(&bytecode(1));
    for mode in [0o777, 0o770, 0o702, 0o1777] {
        folder.allow(mode);
        for answered in [1, 2] {
            let module = folder.load(&bytecode(answered));
            assert!(!module.is_precompiled(), "{mode:o}");
            assert!(
                module
                    .precompiled_rejection()
                    .contains("writable by nobody else")
            );
            assert_eq!(answer(&module), answered);
        }
        assert_eq!(folder.files().len(), 1, "nothing was written");
    }
    folder.allow(0o755);
    assert!(folder.load(&bytecode(1)).is_precompiled());
}

#[test]
fn a_file_that_others_can_write_to_is_replaced() {
    let folder = Folder::new();
    folder.load(&bytecode(1));
    let file = folder.files().remove(0);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o602)).expect("one's own");
    let module = folder.load(&bytecode(1));
    assert!(!module.is_precompiled());
    assert!(module.precompiled_rejection().contains("the file must"));
    assert!(folder.load(&bytecode(1)).is_precompiled(), "stored again");
}

#[test]
fn an_unusable_folder_is_told_and_does_no_harm() {
    let folder = Folder::new();
    let file = folder.0.join("file");
    fs::write(&file, b"").expect("writable");
    for dir in [
        file.clone(),
        file.join("below"),
        PathBuf::from("/proc/nowhere"),
        PathBuf::from("nul\0"),
    ] {
        let module = load(&dir, &bytecode(1));
        assert!(!module.is_precompiled());
        assert!(
            module.precompiled_rejection().contains("code cache"),
            "{}",
            dir.display()
        );
        assert_eq!(answer(&module), 1);
    }
}

#[test]
fn a_folder_in_place_of_the_file_does_no_harm() {
    let folder = Folder::new();
    folder.load(&bytecode(1));
    let file = folder.files().remove(0);
    fs::remove_file(&file).expect("removed");
    fs::create_dir(&file).expect("created");
    let module = folder.load(&bytecode(1));
    assert!(!module.is_precompiled() && !module.precompiled_rejection().is_empty());
    assert_eq!(answer(&module), 1);
    assert_eq!(folder.files().len(), 1, "no partial file is left");
}

#[test]
fn precompiled_code_comes_before_the_cache() {
    let folder = Folder::new();
    let code = folder.load(&bytecode(1)).serialize().expect("serializes");
    let options = Options {
        cache_dir: Some(folder.0.clone()),
        ..Options::default()
    };
    let bytecode = bytecode(1);
    let source = |precompiled| Source {
        bytecode: &bytecode,
        precompiled,
        ..Source::default()
    };
    assert!(
        Module::load(source(&code), &options)
            .expect("loads")
            .is_precompiled()
    );
    // Bad code is made up for by the cache.
    let module = Module::load(source(b"junk"), &options).expect("loads");
    assert!(module.is_precompiled());
}

#[test]
fn what_was_used_least_recently_goes() {
    let folder = Folder::new();
    let mut files: Vec<PathBuf> = Vec::new();
    for answered in 0..4 {
        folder.load(&bytecode(answered));
        let new = folder.files().into_iter().find(|it| !files.contains(it));
        files.push(new.expect("a file for each"));
    }
    let size = |file: &PathBuf| fs::metadata(file).expect("there").len();
    let all: u64 = files.iter().map(size).sum();
    for (age, file) in [(40, 0), (30, 1), (20, 2), (10, 3)] {
        folder.make_older(&files[file], age);
    }
    // Others' files do not count, and stay.
    let foreign = [".code", "a.code", "README", "a.1-2.partial"].map(|it| folder.0.join(it));
    for file in &foreign {
        fs::write(file, vec![0; 1 << 16]).expect("writable");
        folder.make_older(file, 1_000_000);
    }
    // The oldest has been used again.
    assert!(folder.load_within(all, &bytecode(0)).is_precompiled());
    assert!(!folder.load_within(all, &bytecode(4)).is_precompiled());
    let kept = |file: usize| files[file].exists();
    assert_eq!([0, 1, 2, 3].map(kept), [true, false, true, true]);
    assert!(folder.load_within(all, &bytecode(4)).is_precompiled());
    // A smaller cache, at the next chance.
    assert!(!folder.load_within(all / 2, &bytecode(5)).is_precompiled());
    let left: u64 = folder
        .files()
        .iter()
        .filter(|it| !foreign.contains(it))
        .map(size)
        .sum();
    assert!(left <= all / 2, "{left} of {all}");
    assert!(folder.load_within(all / 2, &bytecode(5)).is_precompiled());
    assert!(foreign.iter().all(|it| it.exists()));
}

#[test]
fn code_larger_than_the_cache_is_not_stored() {
    let folder = Folder::new();
    folder.load(&bytecode(1));
    let module = folder.load_within(100, &bytecode(2));
    assert!(!module.is_precompiled());
    let reason = module.precompiled_rejection();
    assert!(reason.contains("bytes of code, more than 100"), "{reason}");
    assert_eq!(answer(&module), 2);
    assert_eq!(folder.files().len(), 1, "the others stay");
}

#[test]
fn what_a_process_left_when_it_died_goes() {
    let folder = Folder::new();
    let name = |writer: &str| {
        folder
            .0
            .join(format!("{}.{writer}.partial", "0".repeat(64)))
    };
    let (dead, alive) = (name("1-0"), name("2-0"));
    fs::write(&dead, b"half").expect("writable");
    fs::write(&alive, b"half").expect("writable");
    folder.make_older(&dead, 7200);
    folder.load(&bytecode(1));
    assert!(!dead.exists() && alive.exists());
}

#[test]
fn threads_that_share_a_small_folder() {
    let folder = Folder::new();
    folder.load(&bytecode(0));
    let one = fs::metadata(&folder.files()[0]).expect("there").len();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for answered in 0..10 {
                    let module = folder.load_within(one * 3, &bytecode(answered));
                    assert_eq!(answer(&module), answered);
                }
            });
        }
    });
    folder.load_within(one * 3, &bytecode(99));
    let all: u64 = folder
        .files()
        .iter()
        .map(|it| fs::metadata(it).expect("there").len())
        .sum();
    assert!(all <= one * 3, "{all} bytes, one has {one}");
}

#[test]
fn threads_that_share_a_folder() {
    let folder = Folder::new();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for answered in 0..10 {
                    assert_eq!(answer(&folder.load(&bytecode(answered))), answered);
                }
            });
        }
    });
    assert_eq!(folder.files().len(), 10, "no partial files are left");
}
