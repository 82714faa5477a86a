//! TCP sockets: listening beside other shards, the options of an accepted socket, sending and
//! receiving without waiting.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// Options of an accepted socket. `TCP_NODELAY` is always set: a frame is all there is to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    /// `TCP_NOTSENT_LOWAT`: how many bytes may wait in the kernel for the network; bounds how stale
    /// the newest value can get below the socket. `None`: the system's.
    pub unsent_max_bytes: Option<u32>,
    /// `SO_SNDBUF` before the kernel doubles it: what may be under way in all. `None`: the system
    /// tunes it.
    pub send_buffer_bytes: Option<usize>,
    /// `SO_RCVBUF`, alike. Clients send commands only.
    pub receive_buffer_bytes: Option<usize>,
    /// `TCP_USER_TIMEOUT`: how long sent data may stay unacknowledged before the kernel gives up.
    pub user_timeout: Option<Duration>,
    /// `SO_MAX_PACING_RATE`: the most bytes a second that are sent. `None`: as many as go.
    pub pacing_bytes_per_second: Option<u64>,
}

/// Opens a listener that shares its address with those of other shards (`SO_REUSEPORT`); the kernel
/// spreads new connections over them.
///
/// # Errors
/// If the address is in use by somebody else, or not ours, or there is no descriptor left.
pub fn listen(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// Sets the options of an accepted socket.
///
/// # Errors
/// If the kernel refuses one; the socket may have been reset already.
pub fn configure(socket: &impl AsFd, options: &SocketOptions) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_tcp_nodelay(true)?;
    if let Some(bytes) = options.unsent_max_bytes {
        socket.set_tcp_notsent_lowat(bytes)?;
    }
    if let Some(bytes) = options.send_buffer_bytes {
        socket.set_send_buffer_size(bytes)?;
    }
    if let Some(bytes) = options.receive_buffer_bytes {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(timeout) = options.user_timeout {
        socket.set_tcp_user_timeout(Some(timeout))?;
    }
    if let Some(rate) = options.pacing_bytes_per_second {
        pace(&socket, rate)?;
    }
    Ok(())
}

/// Has the kernel send at most so many bytes a second.
fn pace(socket: &SockRef<'_>, bytes_per_second: u64) -> io::Result<()> {
    const BYTES: libc::socklen_t = 8;
    // SAFETY: pointer and length describe one u64, which lives during the call.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MAX_PACING_RATE,
            (&raw const bytes_per_second).cast(),
            BYTES,
        )
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes the closing of this socket a reset: what is unsent is thrown away at once.
///
/// # Errors
/// If the kernel refuses.
pub fn reset_on_close(socket: &TcpStream) -> io::Result<()> {
    SockRef::from(socket).set_linger(Some(Duration::ZERO))
}

/// Sends as much of `bytes` as the kernel takes now.
///
/// # Errors
/// `WouldBlock` if it takes nothing; otherwise the connection is lost.
#[inline]
pub fn send(socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    send_raw(socket.as_raw_fd(), bytes)
}

/// As [`send`], for whoever has only the socket's number.
#[inline]
pub(crate) fn send_raw(socket: RawFd, bytes: &[u8]) -> io::Result<usize> {
    loop {
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: pointer and length describe `bytes`, which lives during the call.
        let sent = unsafe { libc::send(socket, bytes.as_ptr().cast(), bytes.len(), flags) };
        if let Ok(sent) = usize::try_from(sent) {
            return Ok(sent);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Receives what is there, at most as much as fits into `out`. 0 bytes: the peer has closed its side.
///
/// # Errors
/// `WouldBlock` if nothing is there; otherwise the connection is lost.
#[inline]
pub fn receive(socket: &TcpStream, out: &mut [u8]) -> io::Result<usize> {
    loop {
        // SAFETY: pointer and length describe `out`, which lives during the call and is writable.
        let received = unsafe {
            libc::recv(socket.as_raw_fd(), out.as_mut_ptr().cast(), out.len(), libc::MSG_DONTWAIT)
        };
        if let Ok(received) = usize::try_from(received) {
            return Ok(received);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Whether a send would be taken now. For those who cannot take back what they have prepared.
#[must_use]
pub fn is_writable(socket: &TcpStream) -> bool {
    let mut poll = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: the pointer is to one live `pollfd`, and the count says one.
    let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
    ready == 1 && poll.revents & libc::POLLOUT != 0
}

/// How many bytes the peer has not acknowledged yet, sent or not. 0 if the kernel does not say.
#[must_use]
pub fn unsent_bytes(socket: &impl AsFd) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: TIOCOUTQ (SIOCOUTQ) writes one int, to which the pointer leads.
    let status = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if status == 0 { usize::try_from(bytes).unwrap_or(0) } else { 0 }
}

/// Who is at the other end, while it is connected.
#[must_use]
pub fn peer_address(socket: &TcpStream) -> Option<SocketAddr> {
    socket.peer_addr().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(options: &SocketOptions) -> (TcpStream, TcpStream) {
        let listener = listen("127.0.0.1:0".parse().unwrap(), 16).unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let far = loop {
            match listener.accept() {
                Ok((far, _)) => break far,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        };
        configure(&far, options).unwrap();
        (near, far)
    }

    const OPTIONS: SocketOptions = SocketOptions {
        unsent_max_bytes: Some(16 << 10),
        send_buffer_bytes: Some(64 << 10),
        receive_buffer_bytes: None,
        user_timeout: Some(Duration::from_secs(60)),
        pacing_bytes_per_second: None,
    };

    #[test]
    fn a_reader_that_stops_fills_little_and_sending_says_so() {
        let (near, far) = pair(&OPTIONS);
        SockRef::from(&near).set_recv_buffer_size(4096).unwrap();
        let frame = [7u8; 1024];
        let mut taken = 0;
        assert!(is_writable(&far));
        // What the kernel moves after a send was refused may make room once more.
        while is_writable(&far) {
            let error = loop {
                match send(&far, &frame) {
                    Ok(sent) => taken += sent,
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            assert!(taken < 512 << 10, "{taken} bytes below a stalled socket");
        }
        assert!(unsent_bytes(&far) > 0 && unsent_bytes(&far) <= taken);
    }

    #[test]
    fn two_listeners_share_an_address_and_a_third_party_cannot() {
        let first = listen("127.0.0.1:0".parse().unwrap(), 16).unwrap();
        let address = first.local_addr().unwrap();
        assert!(listen(address, 16).is_ok());
        let taken = TcpListener::bind(address).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_reset_is_seen_by_the_peer() {
        let (near, far) = pair(&OPTIONS);
        reset_on_close(&far).unwrap();
        drop(far);
        let mut buffer = [0; 8];
        let error = loop {
            match receive(&near, &mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => break error,
                Ok(bytes) => panic!("{bytes} bytes instead of a reset"),
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}
