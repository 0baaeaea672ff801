//! A proxy between clients and a server that can change their frames.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// A proxy that passes frames between clients and a server, and changes them on the way. When it is
/// dropped, it accepts no more connections; existing ones continue.
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    stopped: AtomicBool,
    /// Both ends of each connection.
    sockets: Mutex<Vec<TcpStream>>,
}

/// A function that replaces a frame by zero or more frames.
type Change = dyn Fn(Vec<u8>) -> Vec<Vec<u8>> + Send + Sync;

impl Proxy {
    /// Listens on a free port. `requests` changes what clients send to `server`, `answers` what the
    /// server sends.
    pub fn start(
        server: SocketAddr,
        requests: impl Fn(Vec<u8>) -> Vec<Vec<u8>> + Send + Sync + 'static,
        answers: impl Fn(Vec<u8>) -> Vec<Vec<u8>> + Send + Sync + 'static,
    ) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("its number");
        let state = Arc::new(State::default());
        let (requests, answers): (Arc<Change>, Arc<Change>) =
            (Arc::new(requests), Arc::new(answers));
        let listening = state.clone();
        thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                if listening.stopped.load(Ordering::Relaxed) {
                    return;
                }
                // If the server is gone, the client's connection ends.
                let Ok(server) = TcpStream::connect(server) else { continue };
                let _ = client.set_nodelay(true);
                let _ = server.set_nodelay(true);
                for (from, to, change) in
                    [(&client, &server, &requests), (&server, &client, &answers)]
                {
                    let from = from.try_clone().expect("a socket");
                    let to = to.try_clone().expect("a socket");
                    let change = change.clone();
                    thread::spawn(move || {
                        let _ = pass_on(&from, &to, &*change);
                        let _ = from.shutdown(Shutdown::Both);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
                listening.sockets().extend([client, server]);
            }
        });
        Proxy { address, state }
    }

    /// Returns the address that clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends all current connections, as a failing network does.
    pub fn cut(&self) {
        for socket in self.state.sockets().drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::Relaxed);
        // Wakes the thread that listens.
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    fn sockets(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pass_on(mut from: &TcpStream, mut to: &TcpStream, change: &Change) -> io::Result<()> {
    loop {
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        from.read_exact(&mut frame)?;
        for frame in change(frame) {
            let length = (frame.len() as u32).to_be_bytes();
            to.write_all(&[&length[..], &frame].concat())?;
        }
    }
}
