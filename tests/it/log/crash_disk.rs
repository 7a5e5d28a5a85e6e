//! A disk that remembers every operation, and can tell what a crash at any of them would have left.
//!
//! What is durable: the bytes of a file as of its last sync, the names in a directory as of that directory's last sync.
//! Everything since may be there, or not, or in part.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use stratalog::platform::disk::{DiskObserver, DiskOp, FileId};

/// What became of unsynced operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsynced {
    Lost,
    Kept,
    /// Any subset of the writes, cut or zeroed; any first part of the changes of names in each directory.
    Torn(u64),
}

#[derive(Debug, Clone)]
enum Op {
    Write { file: FileId, position: u64, bytes: Vec<u8> },
    Truncate { file: FileId, length: u64 },
    Sync(FileId),
    SyncDirectory(PathBuf),
    Name(NameOp),
}

#[derive(Debug, Clone)]
enum NameOp {
    Put(PathBuf, Node),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    File(FileId),
    Directory,
}

#[derive(Default)]
struct Recorded {
    ops: Vec<Op>,
    names: BTreeMap<PathBuf, Node>,
    /// What files were called that have that name no more: one may have been opened just before it went.
    gone: BTreeMap<PathBuf, FileId>,
    next_file: u64,
}

/// The observer.
#[derive(Default)]
pub struct CrashDisk {
    recorded: Mutex<Recorded>,
}

impl DiskObserver for CrashDisk {
    fn file_id(&self, path: &Path) -> FileId {
        let recorded = self.recorded.lock().unwrap();
        match (recorded.names.get(path), recorded.gone.get(path)) {
            (Some(Node::File(id)), _) | (None, Some(id)) => *id,
            other => panic!("{} is no file that was created here: {other:?}", path.display()),
        }
    }

    fn before(&self, operation: DiskOp<'_>) -> io::Result<()> {
        let mut recorded = self.recorded.lock().unwrap();
        let op = match operation {
            DiskOp::Create(path) => match recorded.names.get(path) {
                Some(Node::File(file)) => Op::Truncate { file: *file, length: 0 },
                _ => {
                    recorded.next_file += 1;
                    Op::Name(NameOp::Put(path.to_owned(), Node::File(FileId(recorded.next_file))))
                }
            },
            DiskOp::OpenToWrite(_) => return Ok(()),
            DiskOp::Write { file, position, parts } => Op::Write { file, position, bytes: parts.concat() },
            DiskOp::Truncate { file, length } => Op::Truncate { file, length },
            DiskOp::Sync(file) => Op::Sync(file),
            DiskOp::Rename { from, to } => Op::Name(NameOp::Rename(from.to_owned(), to.to_owned())),
            DiskOp::Link { from, to } => Op::Name(NameOp::Put(to.to_owned(), recorded.names[from])),
            DiskOp::Unlink(path) | DiskOp::RemoveDirectory(path) => Op::Name(NameOp::Remove(path.to_owned())),
            DiskOp::CreateDirectory(path) => Op::Name(NameOp::Put(path.to_owned(), Node::Directory)),
            DiskOp::SyncDirectory(path) => Op::SyncDirectory(path.to_owned()),
        };
        if let Op::Name(name) = &op {
            if let NameOp::Remove(path) | NameOp::Rename(path, _) = name
                && let Some(Node::File(id)) = recorded.names.get(path)
            {
                let (path, id) = (path.clone(), *id);
                recorded.gone.insert(path, id);
            }
            apply_name(&mut recorded.names, name);
        }
        recorded.ops.push(op);
        Ok(())
    }
}

impl CrashDisk {
    /// A disk that has what lies below `root`, all of it durable.
    pub fn of(root: &Path) -> CrashDisk {
        let disk = CrashDisk::default();
        disk.adopt(root);
        disk
    }

    fn adopt(&self, directory: &Path) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.before(DiskOp::CreateDirectory(&path)).unwrap();
                self.adopt(&path);
                continue;
            }
            self.before(DiskOp::Create(&path)).unwrap();
            let file = self.file_id(&path);
            let bytes = std::fs::read(&path).unwrap();
            self.before(DiskOp::Write { file, position: 0, parts: &[&bytes] }).unwrap();
            self.before(DiskOp::Sync(file)).unwrap();
        }
        self.before(DiskOp::SyncDirectory(directory)).unwrap();
    }

    pub fn operations(&self) -> usize {
        self.recorded.lock().unwrap().ops.len()
    }

    /// Writes what is left below `root` after a crash behind the first `operations` to `image`.
    pub fn build_image(&self, root: &Path, operations: usize, unsynced: Unsynced, image: &Path) {
        let recorded = self.recorded.lock().unwrap();
        let mut state = State::default();
        for op in &recorded.ops[..operations] {
            state.apply(op);
        }
        state.crash(unsynced);
        for (path, node) in &state.durable_names {
            let parent_is_there = path.parent().is_some_and(|parent| parent == root || is_directory(&state, parent));
            if !parent_is_there {
                continue;
            }
            let to = image.join(path.strip_prefix(root).unwrap());
            match node {
                Node::Directory => std::fs::create_dir_all(&to).unwrap(),
                Node::File(file) => {
                    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
                    std::fs::write(&to, state.durable_bytes.get(file).map(Vec::as_slice).unwrap_or_default()).unwrap();
                }
            }
        }
    }

    pub fn describe(&self, operation: usize) -> String {
        match self.recorded.lock().unwrap().ops.get(operation.wrapping_sub(1)) {
            Some(Op::Write { file, position, bytes }) => format!("write {file:?} at {position}, {} bytes", bytes.len()),
            other => format!("{other:?}"),
        }
    }
}

fn is_directory(state: &State, path: &Path) -> bool {
    state.durable_names.get(path) == Some(&Node::Directory)
}

fn apply_name(names: &mut BTreeMap<PathBuf, Node>, op: &NameOp) {
    match op {
        NameOp::Put(path, node) => {
            names.insert(path.clone(), *node);
        }
        NameOp::Remove(path) => {
            names.remove(path);
        }
        NameOp::Rename(from, to) => {
            if let Some(node) = names.remove(from) {
                names.insert(to.clone(), node);
            }
        }
    }
}

#[derive(Default)]
struct State {
    durable_names: BTreeMap<PathBuf, Node>,
    pending_names: Vec<NameOp>,
    durable_bytes: BTreeMap<FileId, Vec<u8>>,
    pending_bytes: BTreeMap<FileId, Vec<Op>>,
}

impl State {
    fn apply(&mut self, op: &Op) {
        match op {
            Op::Write { file, .. } | Op::Truncate { file, .. } => {
                self.pending_bytes.entry(*file).or_default().push(op.clone());
            }
            Op::Sync(file) => {
                let bytes = self.durable_bytes.entry(*file).or_default();
                for op in self.pending_bytes.remove(file).unwrap_or_default() {
                    apply_bytes(bytes, &op);
                }
            }
            Op::Name(name) => self.pending_names.push(name.clone()),
            Op::SyncDirectory(directory) => {
                let (durable, pending): (Vec<_>, Vec<_>) =
                    std::mem::take(&mut self.pending_names).into_iter().partition(|op| parent_of(op) == directory);
                durable.iter().for_each(|op| apply_name(&mut self.durable_names, op));
                self.pending_names = pending;
            }
        }
    }

    fn crash(&mut self, unsynced: Unsynced) {
        let (names, bytes) = (std::mem::take(&mut self.pending_names), std::mem::take(&mut self.pending_bytes));
        let mut dice = match unsynced {
            Unsynced::Lost => return,
            Unsynced::Kept => {
                names.iter().for_each(|op| apply_name(&mut self.durable_names, op));
                for (file, ops) in bytes {
                    ops.iter().for_each(|op| apply_bytes(self.durable_bytes.entry(file).or_default(), op));
                }
                return;
            }
            Unsynced::Torn(seed) => Dice(seed | 1),
        };
        let mut ended: Vec<&Path> = Vec::new();
        for op in &names {
            if ended.contains(&parent_of(op)) {
                continue;
            }
            if dice.below(3) == 0 {
                ended.push(parent_of(op));
            } else {
                apply_name(&mut self.durable_names, op);
            }
        }
        for (file, ops) in bytes {
            let contents = self.durable_bytes.entry(file).or_default();
            for op in ops {
                match (dice.below(4), op) {
                    (0, _) => {}
                    (1, Op::Write { file, position, mut bytes }) => {
                        bytes.truncate(dice.below(bytes.len() as u64 + 1) as usize);
                        apply_bytes(contents, &Op::Write { file, position, bytes });
                    }
                    (2, Op::Write { file, position, bytes }) => {
                        apply_bytes(contents, &Op::Write { file, position, bytes: vec![0; bytes.len()] });
                    }
                    (_, op) => apply_bytes(contents, &op),
                }
            }
        }
    }
}

fn parent_of(op: &NameOp) -> &Path {
    let (NameOp::Put(path, _) | NameOp::Remove(path) | NameOp::Rename(_, path)) = op;
    path.parent().unwrap()
}

fn apply_bytes(contents: &mut Vec<u8>, op: &Op) {
    match op {
        Op::Write { position, bytes, .. } => {
            let (start, end) = (*position as usize, *position as usize + bytes.len());
            if contents.len() < end {
                contents.resize(end, 0);
            }
            contents[start..end].copy_from_slice(bytes);
        }
        Op::Truncate { length, .. } => contents.resize(*length as usize, 0),
        _ => {}
    }
}

/// Xorshift: a test's dice, the same for the same seed.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound.max(1)
    }
}
