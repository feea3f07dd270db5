//! Every seed of every target, once.

use std::fs;
use std::path::Path;

#[test]
fn seeds_are_answered_within_their_limits() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../seeds");
    for (target, run) in oracles::TARGETS {
        let mut count = 0;
        for entry in fs::read_dir(seeds.join(target)).expect("readable") {
            let path = entry.expect("readable").path();
            println!("{}", path.display());
            run(&fs::read(&path).expect("readable"));
            count += 1;
        }
        assert!(count > 0, "{target} has no seeds");
        println!("{target}: {count} seeds");
    }
}
