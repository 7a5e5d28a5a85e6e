//! A crash at every operation of what mends a log: a start that cuts, sets aside, salvages and heals, and `log
//! repair`. After each: what was acknowledged is there or its damage is named, doing it again finishes it, and no bytes
//! are lost.

mod cut;
mod doubts;
mod heal;
mod repair;
mod salvage;

use std::path::Path;
use std::sync::Arc;

use stratalog::log::{Log, LogDir, LogDirOptions};
use stratalog::platform::disk::Disk;

use super::crash_disk::{CrashDisk, Unsynced};
use super::damage::{config, copy, files};
use super::harness::*;

/// What a crash left.
struct Moment<'a> {
    image: &'a Path,
    /// How many the disk had seen.
    operations: usize,
    what: &'a str,
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Does `act` to a copy of `original`, and shows `check` what a crash behind each of its operations leaves: all that was
/// not synced, none of it, and so many times some of it.
fn at_every_step<T>(
    original: &Path,
    tears: u64,
    act: impl FnOnce(&Path, &Arc<CrashDisk>) -> T,
    check: impl Fn(&T, &Moment<'_>),
) -> T {
    let directory = scratch();
    copy(original, directory.path());
    let disk = Arc::new(CrashDisk::of(directory.path()));
    let begun = disk.operations();
    let done = act(directory.path(), &disk);
    println!("{} operations", disk.operations() - begun);
    assert!(disk.operations() > begun);
    for operations in begun..=disk.operations() {
        let torn = (0..tears).map(|dice| Unsynced::Torn(operations as u64 * 1000 + dice * 77));
        for unsynced in [Unsynced::Lost, Unsynced::Kept].into_iter().chain(torn) {
            let image = scratch();
            disk.build_image(directory.path(), operations, unsynced, image.path());
            let step = operations - begun;
            let what = format!("{unsynced:?} after operation {step}: {}", disk.describe(operations));
            check(&done, &Moment { image: image.path(), operations, what: &what });
        }
    }
    done
}

fn open_on(directory: &Path, disk: &Arc<CrashDisk>) -> Arc<LogDir> {
    let options = LogDirOptions { disk: Disk::observed(disk.clone()), ..manual_options() };
    LogDir::open(directory, options).unwrap()
}

fn open(dir: &Arc<LogDir>) -> Result<Arc<Log>, stratalog::log::Error> {
    Log::open(dir, partition(), topic_id(), config())
}

/// Whether a file whose name ends so has these bytes.
fn is_kept(image: &Path, suffix: &str, bytes: &[u8]) -> bool {
    let mut beside = files(&image.join("events-0"));
    beside.retain(|file| file.to_str().unwrap().ends_with(suffix));
    beside.iter().any(|file| std::fs::read(file).unwrap() == bytes)
}
