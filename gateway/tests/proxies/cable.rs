//! A cable between two ends that can be cut silently: a forwarder of TCP that, once cut, keeps its sockets open
//! and moves nothing any more. New connections are refused from then on.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often a thread with nothing to do looks whether it is over.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A forwarder.
pub(crate) struct Cable {
    pub(crate) address: SocketAddr,
    is_cut: Arc<AtomicBool>,
    sockets: Arc<Mutex<Vec<TcpStream>>>,
    accepting: Option<JoinHandle<()>>,
}

impl Cable {
    /// A cable to this address.
    pub(crate) fn to(far: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let is_cut = Arc::new(AtomicBool::new(false));
        let sockets = Arc::new(Mutex::new(Vec::new()));
        let (cut, kept) = (Arc::clone(&is_cut), Arc::clone(&sockets));
        let accepting = std::thread::spawn(move || {
            // Relaxed, here and below: a flag that says nothing of other memory.
            while !cut.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((near, _)) => join(&near, far, &cut, &kept),
                    Err(_) => std::thread::sleep(LOOK_EVERY),
                }
            }
        });
        Self { address, is_cut, sockets, accepting: Some(accepting) }
    }

    /// From now on nothing gets through, and nobody is told.
    pub(crate) fn cut(&mut self) {
        self.is_cut.store(true, Ordering::Relaxed);
        if let Some(accepting) = self.accepting.take() {
            accepting.join().unwrap();
        }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.cut();
        for socket in self.sockets.lock().unwrap().iter() {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

fn join(near: &TcpStream, far: SocketAddr, cut: &Arc<AtomicBool>, kept: &Mutex<Vec<TcpStream>>) {
    let Ok(far) = TcpStream::connect(far) else { return };
    for (from, to) in [(near, &far), (&far, near)] {
        from.set_nonblocking(false).unwrap();
        from.set_nodelay(true).unwrap();
        from.set_read_timeout(Some(LOOK_EVERY)).unwrap();
        kept.lock().unwrap().push(from.try_clone().unwrap());
        let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        let cut = Arc::clone(cut);
        std::thread::spawn(move || carry(from, to, &cut));
    }
}

/// Carries bytes until the cut, or the end of either side.
fn carry(mut from: TcpStream, mut to: TcpStream, cut: &AtomicBool) {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut bytes);
        if cut.load(Ordering::Relaxed) {
            return;
        }
        match read {
            Ok(0) => break,
            Ok(read) if to.write_all(&bytes[..read]).is_err() => break,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}
