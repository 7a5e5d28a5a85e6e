//! Files, through one thin layer: every operation that changes the disk passes an observer first.
//!
//! A broker has no observer and pays one branch an operation. A test's observer records the operations, to build the
//! image that a crash at any of them would leave, or refuses one, to play a full or a broken disk.
//! Reads are not observed. Nothing here retries, buffers or reorders.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::volume::allocate;

/// A file as the observer knows it: the same for every handle on it, also after a rename.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct FileId(pub u64);

/// An operation that changes the disk.
#[derive(Debug)]
pub enum DiskOp<'a> {
    Create(&'a Path),
    /// Nothing changes yet; a disk that is read-only refuses it.
    OpenToWrite(&'a Path),
    Write {
        file: FileId,
        position: u64,
        parts: &'a [&'a [u8]],
    },
    Truncate {
        file: FileId,
        length: u64,
    },
    Sync(FileId),
    Rename {
        from: &'a Path,
        to: &'a Path,
    },
    /// A second name of a file.
    Link {
        from: &'a Path,
        to: &'a Path,
    },
    Unlink(&'a Path),
    CreateDirectory(&'a Path),
    RemoveDirectory(&'a Path),
    SyncDirectory(&'a Path),
}

/// Sees each operation before it takes place, and may refuse it.
pub trait DiskObserver: Send + Sync {
    fn file_id(&self, path: &Path) -> FileId;
    fn before(&self, operation: DiskOp<'_>) -> io::Result<()>;
}

/// The disk. Cheap to clone.
#[derive(Clone, Default)]
pub struct Disk {
    observer: Option<Arc<dyn DiskObserver>>,
}

impl Disk {
    pub fn observed(observer: Arc<dyn DiskObserver>) -> Disk {
        Disk { observer: Some(observer) }
    }

    fn before(&self, operation: DiskOp<'_>) -> io::Result<()> {
        match &self.observer {
            None => Ok(()),
            Some(observer) => observer.before(operation),
        }
    }

    fn wrap(&self, file: File, path: &Path) -> DiskFile {
        let id = self.observer.as_ref().map(|observer| observer.file_id(path)).unwrap_or_default();
        DiskFile { file: Arc::new(file), id, disk: self.clone() }
    }

    /// Creates a file for reading and writing; it must not exist.
    pub fn create_new(&self, path: &Path) -> io::Result<DiskFile> {
        self.before(DiskOp::Create(path))?;
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        Ok(self.wrap(file, path))
    }

    /// Creates a file, or empties the one that is there.
    pub fn create(&self, path: &Path) -> io::Result<DiskFile> {
        self.before(DiskOp::Create(path))?;
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        Ok(self.wrap(file, path))
    }

    /// Opens a file to write to it.
    pub fn open(&self, path: &Path) -> io::Result<DiskFile> {
        self.before(DiskOp::OpenToWrite(path))?;
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(self.wrap(file, path))
    }

    /// Opens a file to read it: also one of a disk that has become read-only.
    pub fn open_read(&self, path: &Path) -> io::Result<DiskFile> {
        let file = File::open(path)?;
        Ok(self.wrap(file, path))
    }

    /// Opens a file, creating it if it is missing.
    pub fn open_or_create(&self, path: &Path) -> io::Result<DiskFile> {
        match self.open(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => self.create_new(path),
            opened => opened,
        }
    }

    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.before(DiskOp::Rename { from, to })?;
        fs::rename(from, to)
    }

    /// Gives a file a second name, which must not exist.
    pub fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.before(DiskOp::Link { from, to })?;
        fs::hard_link(from, to)
    }

    pub fn unlink(&self, path: &Path) -> io::Result<()> {
        self.before(DiskOp::Unlink(path))?;
        fs::remove_file(path)
    }

    /// Removes a file that may be gone already.
    pub fn unlink_if_exists(&self, path: &Path) -> io::Result<()> {
        if !path.try_exists()? {
            return Ok(());
        }
        self.unlink(path)
    }

    pub fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.before(DiskOp::CreateDirectory(path))?;
        fs::create_dir(path)
    }

    /// Removes an empty directory.
    pub fn remove_directory(&self, path: &Path) -> io::Result<()> {
        self.before(DiskOp::RemoveDirectory(path))?;
        fs::remove_dir(path)
    }

    /// Makes the names in a directory durable: creations, renames, removals.
    pub fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.before(DiskOp::SyncDirectory(path))?;
        File::open(path)?.sync_all()
    }

    /// Replaces a small file so that a crash leaves the old bytes or the new ones: write aside, sync, rename, sync the
    /// directory.
    pub fn replace(&self, path: &Path, contents: &[u8]) -> io::Result<()> {
        let mut aside = path.as_os_str().to_owned();
        aside.push(".tmp");
        let aside = Path::new(&aside);
        let file = self.create(aside)?;
        file.write_at(contents, 0)?;
        file.sync()?;
        self.rename(aside, path)?;
        match path.parent() {
            Some(directory) => self.sync_directory(directory),
            None => Ok(()),
        }
    }
}

/// An open file. Writes name their position; there is no cursor.
#[derive(Clone)]
pub struct DiskFile {
    file: Arc<File>,
    id: FileId,
    disk: Disk,
}

impl DiskFile {
    /// For readers that outlive this handle, such as a response's file range.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    pub fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    pub fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.disk.before(DiskOp::Write { file: self.id, position, parts: &[bytes] })?;
        self.file.write_all_at(bytes, position)
    }

    /// Writes two pieces one after the other, in one call where the system has one.
    pub fn write_pair_at(&self, head: &[u8], rest: &[u8], position: u64) -> io::Result<()> {
        self.disk.before(DiskOp::Write { file: self.id, position, parts: &[head, rest] })?;
        let written = first_write(&self.file, head, rest, position)?;
        // A short write is finished piece by piece.
        if let Some(missing) = head.get(written..) {
            self.file.write_all_at(missing, position + written as u64)?;
            return self.file.write_all_at(rest, position + head.len() as u64);
        }
        let missing = rest.get(written - head.len()..).unwrap_or_default();
        if missing.is_empty() { Ok(()) } else { self.file.write_all_at(missing, position + written as u64) }
    }

    /// Reads until `buffer` is full or the file ends; answers the bytes read.
    pub fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        read_at(&self.file, buffer, position)
    }

    /// Reads a range through `buffer`, and hands on each piece with its position. Ends early where the file does; answers
    /// where.
    pub fn read_pieces(
        &self,
        range: Range<u64>,
        buffer: &mut [u8],
        mut take: impl FnMut(&[u8], u64) -> io::Result<()>,
    ) -> io::Result<u64> {
        let mut at = range.start;
        while at < range.end {
            let wanted = buffer.len().min(usize::try_from(range.end - at).unwrap_or(usize::MAX));
            let piece = buffer.get_mut(..wanted).unwrap_or_default();
            let read = self.read_at(piece, at)?;
            if read == 0 {
                break;
            }
            take(piece.get(..read).unwrap_or_default(), at)?;
            at += read as u64;
        }
        Ok(at)
    }

    /// As [`DiskFile::read_at`], and gives back pages that were not in memory before: reading old segments pushes
    /// nothing hot out.
    pub fn read_gently_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let length = buffer.len() as u64;
        let was_cached = length == 0 || is_cached(&self.file, position, length) != Some(false);
        let read = self.read_at(buffer, position)?;
        if !was_cached {
            drop_cached(&self.file, position, length);
        }
        Ok(read)
    }

    pub fn truncate(&self, length: u64) -> io::Result<()> {
        self.disk.before(DiskOp::Truncate { file: self.id, length })?;
        self.file.set_len(length)
    }

    /// Cuts the file, or makes it longer by zeros that have their blocks.
    pub fn resize(&self, length: u64) -> io::Result<()> {
        self.disk.before(DiskOp::Truncate { file: self.id, length })?;
        let before = self.length()?;
        if length > before
            && let Err(error) = allocate(&self.file, before..length)
        {
            // Where blocks are reserved the length is as it was, and what is behind it stays.
            if self.length()? != before {
                self.file.set_len(before)?;
            }
            return Err(error);
        }
        self.file.set_len(length)
    }

    /// `fdatasync`: the bytes and the length are durable when this returns. A failure is final: the kernel may have
    /// dropped the dirty pages, and a second call would report success.
    pub fn sync(&self) -> io::Result<()> {
        self.disk.before(DiskOp::Sync(self.id))?;
        self.file.sync_data()
    }
}

/// Whether there was no room, on the disk or under a quota.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether a file was not opened or created because this process, or the system, has too many open: nothing was done.
pub fn is_out_of_files(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// Reads until `buffer` is full or the file ends; answers the bytes read.
pub fn read_at(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, position + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

#[cfg(target_os = "linux")]
fn first_write(file: &File, head: &[u8], rest: &[u8], position: u64) -> io::Result<usize> {
    loop {
        match rustix::io::pwritev(file, &[IoSlice::new(head), IoSlice::new(rest)], position) {
            Err(rustix::io::Errno::INTR) => {}
            written => return Ok(written?),
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn first_write(file: &File, head: &[u8], _rest: &[u8], position: u64) -> io::Result<usize> {
    file.write_all_at(head, position)?;
    Ok(head.len())
}

/// Tells the kernel that cached pages of a range are not wanted again. Advice: failure changes nothing.
pub fn drop_cached(file: &File, position: u64, length: u64) {
    #[cfg(target_os = "linux")]
    if let Some(length) = std::num::NonZeroU64::new(length) {
        let _ = rustix::fs::fadvise(file, position, Some(length), rustix::fs::Advice::DontNeed);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (file, position, length);
}

/// Whether the pages of a range are in memory, as far as a probe of its first and last byte can tell. `None`: unknown.
pub fn is_cached(file: &File, position: u64, length: u64) -> Option<bool> {
    #[cfg(target_os = "linux")]
    {
        use std::io::IoSliceMut;
        for at in [position, position + length.saturating_sub(1)] {
            let mut byte = [0u8; 1];
            let flags = rustix::io::ReadWriteFlags::NOWAIT;
            match rustix::io::preadv2(file, &mut [IoSliceMut::new(&mut byte)], at, flags) {
                Ok(_) => {}
                Err(rustix::io::Errno::AGAIN) => return Some(false),
                Err(_) => return None,
            }
        }
        Some(true)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (file, position, length);
        None
    }
}
