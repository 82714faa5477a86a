//! What this binary does when a test starts it as another process.

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{env, fs, ptr, thread};

use tickcast_ring::{CreateError, OpenError, Publisher, Ring, State};

use crate::{PATIENCE, SHAPE, image, record, until};

/// Which part a started process plays.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Role {
    /// Publishes without end, with images and heartbeats.
    Feed,
    /// Publishes a thousand records in small batches, the second half when it is told to go on by a file with the
    /// extension [`GO`], then closes the ring.
    ShortFeed,
    /// Publishes now and then, and never wakes anybody.
    MuteFeed,
    /// Opens the ring, then runs into the end of a cut file that is no ring.
    ForeignBusError,
    /// As before, with a SIGBUS handler of its own that exits with [`HANDLED`].
    ForeignBusErrorHandled,
    /// Opens more rings than can be guarded.
    ManyRings,
}

const ROLES: [Role; 6] = [
    Role::Feed,
    Role::ShortFeed,
    Role::MuteFeed,
    Role::ForeignBusError,
    Role::ForeignBusErrorHandled,
    Role::ManyRings,
];

/// Of the file that tells [`Role::ShortFeed`] to go on.
pub(crate) const GO: &str = "go";

/// What the handler of [`Role::ForeignBusErrorHandled`] exits with.
pub(crate) const HANDLED: i32 = 42;

/// A process in a role; it does not outlive this.
pub(crate) struct Actor(Child);

pub(crate) fn start(role: Role, path: &Path, epoch: u64) -> Actor {
    let child = Command::new(env::current_exe().unwrap())
        .args(["role::plays_its_role", "--exact", "--nocapture"])
        .env("RING_ROLE", format!("{role:?}"))
        .env("RING_PATH", path)
        .env("RING_EPOCH", epoch.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    Actor(child)
}

impl Actor {
    /// SIGKILL: nothing is cleaned up.
    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    pub(crate) fn end(mut self) -> ExitStatus {
        self.0.wait().unwrap()
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        // Both fail only if it has ended, which is what they are for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Not a test by itself: the entrance of started processes. Without a role there is nothing to do.
#[test]
fn plays_its_role() {
    let Ok(name) = env::var("RING_ROLE") else {
        return;
    };
    let role = ROLES.into_iter().find(|role| format!("{role:?}") == name).expect("a role");
    let path = env::var_os("RING_PATH").expect("a path");
    let epoch = env::var("RING_EPOCH").expect("an epoch").parse().unwrap();
    play(role, Path::new(&path), epoch);
}

fn play(role: Role, path: &Path, epoch: u64) {
    let create = || Ring::create(path, SHAPE, epoch).unwrap().0;
    match role {
        Role::Feed => feed(create()),
        Role::ShortFeed => {
            let mut publisher = create();
            for position in 0..1000 {
                if position == 500 {
                    until("the word to go on", || path.with_extension(GO).exists());
                }
                publisher.publish(&record(position));
                if position % 10 == 9 {
                    publisher.wake();
                    thread::sleep(Duration::from_micros(100));
                }
            }
            publisher.close();
        }
        Role::MuteFeed => {
            let mut publisher = create();
            let start = Instant::now();
            while start.elapsed() < PATIENCE {
                thread::sleep(Duration::from_millis(100));
                let position = publisher.position();
                publisher.publish(&record(position));
            }
        }
        Role::ForeignBusError => {
            let _ring = Ring::open(path).unwrap();
            run_into_the_end(&path.with_extension("foreign"));
        }
        Role::ForeignBusErrorHandled => {
            // SAFETY: the handler only exits.
            unsafe { libc::signal(libc::SIGBUS, exit_handled as *const () as usize) };
            let _ring = Ring::open(path).unwrap();
            run_into_the_end(&path.with_extension("foreign"));
        }
        Role::ManyRings => {
            let mut rings = Vec::new();
            let refused = loop {
                match Ring::open(path) {
                    Ok(ring) => rings.push(ring),
                    Err(error) => break error,
                }
            };
            assert_eq!(refused, OpenError::Guard);
            let other = path.with_extension("other");
            assert_eq!(Ring::create(&other, SHAPE, 1).unwrap_err(), CreateError::Guard);
            assert!(!other.exists());
            assert!(rings.len() > 30, "{} rings are too few", rings.len());
            assert!(rings.iter().all(|ring| ring.state() == State::Live));
            rings.pop();
            assert!(Ring::open(path).is_ok());
        }
    }
}

fn feed(mut publisher: Publisher) {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        publisher.heartbeat(u64::try_from(now).unwrap());
        for _ in 0..50 {
            let position = publisher.position();
            publisher.publish(&record(position));
            publisher.write_image(1, &image(position + 1)).unwrap();
        }
        publisher.wake();
        thread::sleep(Duration::from_micros(50));
    }
}

extern "C" fn exit_handled(_signal: libc::c_int) {
    // SAFETY: _exit may be called in a handler.
    unsafe { libc::_exit(HANDLED) };
}

/// Maps a page of an empty file and reads it.
fn run_into_the_end(path: &Path) {
    use std::os::fd::AsRawFd;
    fs::write(path, "").unwrap();
    let file = fs::File::open(path).unwrap();
    // SAFETY: a new mapping; that reading it raises SIGBUS is what is wanted.
    unsafe {
        let page = libc::mmap(
            ptr::null_mut(),
            4096,
            libc::PROT_READ,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        );
        assert_ne!(page, libc::MAP_FAILED);
        page.cast::<u64>().read_volatile();
    }
}
