//! A ring's file, mapped: how it comes to be, and how it is checked before it is used.
//!
//! A file is made under a temporary name in the same directory, written completely, then renamed: under
//! its name it is always whole, and a file that stood there before goes on living for those who have it
//! mapped. Nothing here ever truncates a file. What a file says of itself is read with `read`, checked
//! against the limits and against its length, and only then mapped; it is never read again.
//!
//! No descriptor is kept: shards have descriptor tables of their own.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::bus_error::Registration;
use crate::header::HEADER_BYTES;
use crate::identity::{IDENTITY_BYTES, Identity, IdentityError, LAYOUT_VERSION};
use crate::shape::{Layout, Shape, ShapeError};

/// Why a ring could not be made in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// There is no such ring.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The path does not end with a name.
    #[error("the path names no file")]
    Name,
    /// The system did not make or map the file. `StorageFull`: /dev/shm is too small for the slots.
    #[error("the ring's file cannot be made: {0}")]
    Io(io::ErrorKind),
    /// This process has too many rings mapped, or cannot handle SIGBUS.
    #[error("the mapping cannot be guarded against a cut file")]
    Guard,
}

/// Why a file is not opened as a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The system did not open, read or map it.
    #[error("the ring's file cannot be opened: {0}")]
    Io(io::ErrorKind),
    /// A directory, a device, a socket.
    #[error("not a regular file")]
    NotAFile,
    /// Shorter than the header of a ring.
    #[error("too short for a ring: {0} bytes")]
    TooShort(u64),
    /// Something else than a ring, or one from a machine of another byte order.
    #[error("not a ring: the magic number is missing")]
    Magic,
    /// A ring of another version of this program.
    #[error("a ring of layout version {0}; this program reads version {LAYOUT_VERSION}")]
    Version(u64),
    /// The records have another size.
    #[error("a ring with records of {0} words")]
    RecordWords(u64),
    /// The numbers in the header are those of no ring.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A number in the header is beyond all sizes.
    #[error("garbled header: {0} is no size")]
    Number(u64),
    /// The file is not as long as its header says.
    #[error("the ring's file has {found} bytes instead of {expected}")]
    Size {
        /// What the header's shape comes to.
        expected: u64,
        /// The file's length.
        found: u64,
    },
    /// This process has too many rings mapped, or cannot handle SIGBUS.
    #[error("the mapping cannot be guarded against a cut file")]
    Guard,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    layout: Layout,
    identity: Identity,
    /// Taken back before the memory is.
    guard: Option<Registration>,
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// What stands in a mapping's way, before it is said in the words of the caller's error.
enum MapError {
    Io(io::ErrorKind),
    Guard,
}

impl Mapping {
    /// Makes a ring's file and puts it in the place of whatever is at `path`.
    pub(crate) fn create(path: &Path, shape: Shape, epoch: u64) -> Result<Self, CreateError> {
        let layout = shape.layout()?;
        let temporary = temporary_name(path).ok_or(CreateError::Name)?;
        let made = Self::create_at(&temporary, path, Identity { shape, epoch }, layout);
        if made.is_err() {
            // Nothing more can be done if this fails too; the first error is the one to tell.
            let _ = fs::remove_file(&temporary);
        }
        made
    }

    fn create_at(
        temporary: &Path,
        path: &Path,
        identity: Identity,
        layout: Layout,
    ) -> Result<Self, CreateError> {
        let io = |error: io::Error| CreateError::Io(error.kind());
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(temporary)
            .map_err(io)?;
        file.set_len(layout.bytes as u64).map_err(io)?;
        // Header and slots are all used: better to learn now that there is no room for them. Images
        // stay holes until they are written.
        allocate(&file, layout.images_offset).map_err(io)?;
        file.write_all_at(&identity.encode(), 0).map_err(io)?;
        let mapping = Self::map(&file, path, identity, layout).map_err(|error| match error {
            MapError::Io(kind) => CreateError::Io(kind),
            MapError::Guard => CreateError::Guard,
        })?;
        fs::rename(temporary, path).map_err(io)?;
        Ok(mapping)
    }

    /// Checks and maps the ring's file at `path`.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let io = |error: io::Error| OpenError::Io(error.kind());
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            // A FIFO must not make us wait for its other end.
            .custom_flags(libc::O_NONBLOCK)
            .open(path)
            .map_err(|error| match error.kind() {
                io::ErrorKind::IsADirectory => OpenError::NotAFile,
                kind => OpenError::Io(kind),
            })?;
        let metadata = file.metadata().map_err(io)?;
        if !metadata.is_file() {
            return Err(OpenError::NotAFile);
        }
        let found = metadata.len();
        if found < HEADER_BYTES as u64 {
            return Err(OpenError::TooShort(found));
        }
        let mut bytes = [0; IDENTITY_BYTES];
        file.read_exact_at(&mut bytes, 0).map_err(io)?;
        let identity = Identity::decode(&bytes)?;
        let layout = identity.shape.layout()?;
        let expected = layout.bytes as u64;
        if found != expected {
            return Err(OpenError::Size { expected, found });
        }
        Self::map(&file, path, identity, layout).map_err(|error| match error {
            MapError::Io(kind) => OpenError::Io(kind),
            MapError::Guard => OpenError::Guard,
        })
    }

    fn map(file: &File, path: &Path, identity: Identity, layout: Layout) -> Result<Self, MapError> {
        let io = |error: &io::Error| MapError::Io(error.kind());
        let metadata = file.metadata().map_err(|error| io(&error))?;
        // SAFETY: a new mapping, at a place the kernel chooses.
        let base = unsafe {
            libc::mmap(
                null_mut(),
                layout.bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_NORESERVE,
                file.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io(&io::Error::last_os_error()));
        }
        // The signal handler knows the place by its number.
        let _ = base.expose_provenance();
        let base = NonNull::new(base.cast::<u8>()).expect("the kernel never maps at 0 by itself");
        // From here on `Drop` unmaps.
        let mut mapping = Self {
            base,
            layout,
            identity,
            guard: None,
            path: path.to_owned(),
            device: metadata.dev(),
            inode: metadata.ino(),
        };
        mapping.guard = Registration::new(base, layout.bytes);
        if mapping.guard.is_none() {
            return Err(MapError::Guard);
        }
        mapping.populate();
        Ok(mapping)
    }

    /// Asks for the pages of header and slots now instead of by one fault each in the first round.
    /// Kernels before 5.14 say no, and a file being cut says so too: both are dealt with later.
    fn populate(&self) {
        // SAFETY: the range is the beginning of this mapping; the advice changes no content.
        unsafe {
            libc::madvise(
                self.base.as_ptr().cast(),
                self.layout.images_offset,
                libc::MADV_POPULATE_WRITE,
            );
        }
    }

    pub(crate) const fn base(&self) -> NonNull<u8> {
        self.base
    }

    pub(crate) const fn shape(&self) -> &Shape {
        &self.identity.shape
    }

    pub(crate) const fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(crate) const fn epoch(&self) -> u64 {
        self.identity.epoch
    }

    /// Whether the file was cut and zeroes stand in its place.
    #[inline]
    pub(crate) fn is_poisoned(&self) -> bool {
        self.guard.as_ref().is_some_and(Registration::is_poisoned)
    }

    /// Whether the path now leads to another file, or to none. A look at the file's length comes with
    /// it: a cut is seen here at the latest, even if nobody touches what is gone.
    pub(crate) fn is_replaced(&self) -> bool {
        let Ok(metadata) = fs::metadata(&self.path) else {
            return true;
        };
        if (metadata.dev(), metadata.ino()) != (self.device, self.inode) {
            return true;
        }
        if metadata.len() != self.layout.bytes as u64
            && let Some(guard) = &self.guard
        {
            guard.poison();
        }
        false
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // First: another mapping may get this place as soon as it is free.
        self.guard = None;
        // SAFETY: the mapping is ours, and nobody has references into it any more.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.layout.bytes) };
    }
}

impl From<IdentityError> for OpenError {
    fn from(error: IdentityError) -> Self {
        match error {
            IdentityError::Magic => Self::Magic,
            IdentityError::Version(version) => Self::Version(version),
            IdentityError::RecordWords(words) => Self::RecordWords(words),
            IdentityError::Number(number) => Self::Number(number),
        }
    }
}

/// A name beside `path` that no other call uses.
fn temporary_name(path: &Path) -> Option<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name()?);
    name.push(format!(".{}.{count}.new", std::process::id()));
    Some(path.with_file_name(name))
}

/// Makes the file's first `bytes` bytes real, so that writing to them cannot fail later.
fn allocate(file: &File, bytes: usize) -> io::Result<()> {
    let bytes = libc::off_t::try_from(bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
    // SAFETY: the descriptor is open during the call.
    match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, bytes) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}
