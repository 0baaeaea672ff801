//! A server of git repositories over HTTP.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// A server that passes each request to `git http-backend`. When it is dropped, it accepts no more
/// connections.
pub struct GitServer {
    address: SocketAddr,
    state: Arc<State>,
    listening: Option<thread::JoinHandle<()>>,
}

struct State {
    root: PathBuf,
    /// The value of the header Authorization that every request needs.
    authorization: Option<String>,
    /// Serves files alone, as a web server that knows nothing of git does.
    is_dumb: bool,
    stopped: AtomicBool,
    requests: AtomicUsize,
}

impl GitServer {
    /// Serves the bare repositories in `root`, on a free port.
    pub fn start(root: &Path) -> GitServer {
        GitServer::listen(root, None, false)
    }

    /// Serves them to one user. `credentials` is user, colon and password in base64.
    pub fn with_credentials(root: &Path, credentials: &str) -> GitServer {
        GitServer::listen(root, Some(format!("Basic {credentials}")), false)
    }

    /// Serves their files alone. Each repository needs `git update-server-info`.
    pub fn dumb(root: &Path) -> GitServer {
        GitServer::listen(root, None, true)
    }

    fn listen(root: &Path, authorization: Option<String>, is_dumb: bool) -> GitServer {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("its number");
        let state = Arc::new(State {
            root: root.into(),
            authorization,
            is_dumb,
            stopped: AtomicBool::new(false),
            requests: AtomicUsize::new(0),
        });
        let own = state.clone();
        let listening = thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                if own.stopped.load(Ordering::Relaxed) {
                    return;
                }
                let state = own.clone();
                // A client that breaks off is its own affair.
                thread::spawn(move || answer(&client, &state));
            }
        });
        GitServer { address, state, listening: Some(listening) }
    }

    /// Returns the URL of a repository in the directory.
    pub fn url(&self, repository: &str) -> String {
        format!("http://{}/{repository}", self.address)
    }

    /// Returns the number of requests until now.
    pub fn requests(&self) -> usize {
        self.state.requests.load(Ordering::Relaxed)
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts connections. The listener ends with it.
        let _ = TcpStream::connect(self.address);
        let _ = self.listening.take().map(thread::JoinHandle::join);
    }
}

/// Answers one request of a connection and closes it.
fn answer(mut client: &TcpStream, state: &State) -> io::Result<()> {
    let mut reader = BufReader::new(client);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_ascii_whitespace().map(str::to_string);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        headers.push((name.to_ascii_lowercase(), value.to_string()));
    }
    state.requests.fetch_add(1, Ordering::Relaxed);
    let header = |wanted: &str| {
        headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
    };
    if state.authorization.is_some() && header("authorization") != state.authorization.as_deref() {
        let head = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"git\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        return client.write_all(head.as_bytes());
    }
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    if state.is_dumb {
        let content = std::fs::read(state.root.join(path.trim_start_matches('/')));
        let status = if content.is_ok() { "200 OK" } else { "404 Not Found" };
        return send(client, status, "Content-Type: text/plain\r\n", &content.unwrap_or_default());
    }
    let length = header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut backend = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", &state.root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", header("content-type").unwrap_or_default())
        .env("CONTENT_LENGTH", length.to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding").unwrap_or_default())
        .env("GIT_PROTOCOL", header("git-protocol").unwrap_or_default())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = backend.stdin.take() {
        thread::spawn(move || stdin.write_all(&body));
    }
    let output = backend.wait_with_output()?.stdout;
    let end = output.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap_or(output.len());
    let head = String::from_utf8_lossy(&output[..end]).into_owned();
    let status = head.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK");
    send(client, status, &format!("{head}\r\n"), output.get(end + 4..).unwrap_or_default())
}

fn send(mut client: &TcpStream, status: &str, headers: &str, body: &[u8]) -> io::Result<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    client.write_all(head.as_bytes())?;
    client.write_all(body)
}
