//! The real sender: HTTP/1.1 over TCP or TLS, on connections that are kept while they are used.
//!
//! INV-6: a name is resolved here, every address it has is judged, and the connection is made to the
//! very address that was judged; a name that answers something else a moment later gains nothing.
//! No redirect is followed, no proxy asked, no environment read.

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::{Body, Incoming},
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::{OnceCell, Semaphore},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{
    address::CallbackRules,
    authorities::CallbackAuthorities,
    callback::Callback,
    sender::{Answered, HttpSender, Outgoing, Resolving, SendError, Sending},
};

/// How long resolving, and connecting to one address, may take.
const RESOLVE_MAX: Duration = Duration::from_secs(5);
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;

/// Names resolved at a time: each takes a thread.
const RESOLVING_MAX: usize = 32;

/// What is read of an answer's body, so that its connection can be used again, and for how long.
const BODY_BYTES_MAX: usize = 64 * 1024;
const BODY_TIME_MAX: Duration = Duration::from_secs(1);

/// Bytes of an answer's head.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Connections kept for one endpoint, and for all; how long one may idle.
const IDLE_MAX: usize = 16;
const IDLE_MAX_OF_ALL: usize = 1_024;
const IDLE_TIME_MAX: Duration = Duration::from_secs(20);

/// Addresses of a name.
pub type Addresses = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Finds the addresses of a name. The real one asks the system.
pub trait Resolve: fmt::Debug + Send + Sync {
    /// All addresses of a name, or of an address written as text.
    fn resolve(&self, host: &str) -> Addresses;
}

/// The system's resolver.
#[derive(Debug)]
pub struct SystemResolver {
    turns: Arc<Semaphore>,
}

impl Default for SystemResolver {
    fn default() -> SystemResolver {
        SystemResolver { turns: Arc::new(Semaphore::new(RESOLVING_MAX)) }
    }
}

impl Resolve for SystemResolver {
    fn resolve(&self, host: &str) -> Addresses {
        let (host, turns) = (host.to_owned(), Arc::clone(&self.turns));
        Box::pin(async move {
            let _turn = turns.acquire_owned().await.map_err(io::Error::other)?;
            // The port is of no interest, but the system wants one.
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// A connection that can take a request.
struct Idle {
    sender: SendRequest<Full<Bytes>>,
    since: Instant,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Endpoint {
    secure: bool,
    host: String,
    port: u16,
}

impl Endpoint {
    fn of(callback: &Callback) -> Endpoint {
        let Callback { secure, port, .. } = *callback;
        Endpoint { secure, host: callback.host.clone(), port }
    }
}

/// See the module.
pub(crate) struct NetSender {
    rules: CallbackRules,
    resolver: Arc<dyn Resolve>,
    authorities: CallbackAuthorities,
    tls: OnceCell<Arc<ClientConfig>>,
    pool: Arc<Pool>,
}

/// Connections that wait for a request.
#[derive(Default)]
struct Pool {
    idle: Mutex<HashMap<Endpoint, Vec<Idle>>>,
}

impl Pool {
    fn take(&self, endpoint: &Endpoint) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle.lock();
        let connections = idle.get_mut(endpoint)?;
        while let Some(last) = connections.pop() {
            if last.is_usable() {
                return Some(last.sender);
            }
        }
        None
    }

    fn keep(&self, endpoint: Endpoint, sender: SendRequest<Full<Bytes>>) {
        let mut idle = self.idle.lock();
        let all: usize = idle.values().map(Vec::len).sum();
        let connections = idle.entry(endpoint).or_default();
        if connections.len() < IDLE_MAX && all < IDLE_MAX_OF_ALL {
            connections.push(Idle { sender, since: Instant::now() });
        }
    }

    fn sweep(&self) {
        self.idle.lock().retain(|_, connections| {
            connections.retain(Idle::is_usable);
            !connections.is_empty()
        });
    }
}

impl Idle {
    fn is_usable(&self) -> bool {
        self.since.elapsed() < IDLE_TIME_MAX && !self.sender.is_closed()
    }
}

impl fmt::Debug for NetSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetSender").field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl HttpSender for NetSender {
    fn send(&self, outgoing: Outgoing) -> Sending<'_> {
        Box::pin(async move {
            let patience = outgoing.timeout;
            let sent = timeout(patience, self.exchange(&outgoing)).await;
            sent.unwrap_or(Err(SendError::TimedOut(patience)))
        })
    }

    fn vet<'s>(&'s self, callback: &'s Callback) -> Resolving<'s> {
        Box::pin(async move { self.addresses(callback).await.map(drop) })
    }

    fn sweep(&self) {
        self.pool.sweep();
    }
}

impl NetSender {
    pub(crate) fn new(
        rules: CallbackRules,
        resolver: Arc<dyn Resolve>,
        authorities: CallbackAuthorities,
    ) -> NetSender {
        NetSender { rules, resolver, authorities, tls: OnceCell::new(), pool: Arc::default() }
    }

    async fn exchange(&self, outgoing: &Outgoing) -> Result<Answered, SendError> {
        let endpoint = Endpoint::of(&outgoing.callback);
        if let Some(mut sender) = self.pool.take(&endpoint) {
            // The endpoint may have closed it in this very moment, which says nothing about the
            // request: it is sent on a new connection then.
            if sender.ready().await.is_ok()
                && let Ok(response) = sender.send_request(request(outgoing)?).await
            {
                return Ok(self.finish(endpoint, sender, response));
            }
        }
        let mut sender = self.connect(&outgoing.callback).await?;
        let response = sender.send_request(request(outgoing)?).await.map_err(broken)?;
        Ok(self.finish(endpoint, sender, response))
    }

    /// Takes status and headers; what is left of the answer is read beside, if it is little.
    fn finish(
        &self,
        endpoint: Endpoint,
        sender: SendRequest<Full<Bytes>>,
        response: Response<Incoming>,
    ) -> Answered {
        let (head, body) = response.into_parts();
        let answered = Answered { status: head.status, headers: head.headers };
        let pool = Arc::clone(&self.pool);
        if body.is_end_stream() {
            pool.keep(endpoint, sender);
            return answered;
        }
        tokio::spawn(async move {
            // One that goes on takes its connection with it.
            if timeout(BODY_TIME_MAX, skip(body)).await == Ok(true) {
                pool.keep(endpoint, sender);
            }
        });
        answered
    }

    /// The addresses that a callback leads to, each of which may be called.
    async fn addresses(&self, callback: &Callback) -> Result<Vec<IpAddr>, SendError> {
        let resolving = self.resolver.resolve(&callback.host);
        let found = match timeout(RESOLVE_MAX, resolving).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return Err(SendError::Unresolved(error.to_string())),
            Err(_) => return Err(SendError::Unresolved("no answer".to_owned())),
        };
        // One that may not be called spoils the name: it is there on purpose.
        if let Some(refused) = found.iter().find(|address| !self.rules.admits(**address)) {
            return Err(SendError::Refused(*refused));
        }
        if found.is_empty() {
            return Err(SendError::Unresolved("it has no address".to_owned()));
        }
        Ok(found)
    }

    async fn connect(&self, callback: &Callback) -> Result<SendRequest<Full<Bytes>>, SendError> {
        let addresses = self.addresses(callback).await?;
        let mut failure = String::new();
        for address in addresses.into_iter().take(ADDRESSES_MAX) {
            let socket = SocketAddr::new(address, callback.port);
            match timeout(CONNECT_MAX, TcpStream::connect(socket)).await {
                Ok(Ok(stream)) => {
                    let _ = stream.set_nodelay(true);
                    return self.speak(callback, stream).await;
                }
                // The kind alone: addresses behind a name are nobody's business.
                Ok(Err(error)) => failure = error.kind().to_string(),
                Err(_) => failure = "it took too long".to_owned(),
            }
        }
        Err(SendError::NoConnection(failure))
    }

    async fn speak(
        &self,
        callback: &Callback,
        stream: TcpStream,
    ) -> Result<SendRequest<Full<Bytes>>, SendError> {
        if !callback.secure {
            return handshake(stream).await;
        }
        let no_tls = |error: &dyn fmt::Display| SendError::NoTls(error.to_string());
        let name = ServerName::try_from(callback.host.clone()).map_err(|error| no_tls(&error))?;
        let tls = self.tls.get_or_try_init(|| self.client_config()).await;
        let tls = tls.map_err(|error| no_tls(&error))?;
        let connector = TlsConnector::from(Arc::clone(tls));
        let stream = timeout(CONNECT_MAX, connector.connect(name, stream)).await;
        match stream {
            Ok(Ok(stream)) => handshake(stream).await,
            Ok(Err(error)) => Err(no_tls(&error)),
            Err(_) => Err(no_tls(&"it took too long")),
        }
    }

    /// Read once, off the reactor.
    async fn client_config(&self) -> io::Result<Arc<ClientConfig>> {
        let authorities = self.authorities.clone();
        let read = tokio::task::spawn_blocking(move || authorities.client_config());
        Ok(Arc::new(read.await??))
    }
}

async fn handshake<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, SendError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shaking =
        http1::Builder::new().max_buf_size(HEAD_BYTES_MAX).handshake(TokioIo::new(stream));
    let (sender, connection) = shaking.await.map_err(broken)?;
    // Ends with its sender, or with the other side.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a callback ended badly");
        }
    });
    Ok(sender)
}

fn request(outgoing: &Outgoing) -> Result<Request<Full<Bytes>>, SendError> {
    let mut request = Request::new(Full::new(outgoing.body.clone()));
    *request.method_mut() = outgoing.method.clone();
    let callback = &outgoing.callback;
    *request.uri_mut() = callback.target.parse().map_err(|_| broken("no such target"))?;
    *request.headers_mut() = outgoing.headers.clone();
    let host = HeaderValue::from_str(&callback.authority).map_err(|_| broken("no such host"))?;
    request.headers_mut().insert(header::HOST, host);
    Ok(request)
}

fn broken(error: impl fmt::Display) -> SendError {
    SendError::Broken(error.to_string())
}

/// Reads a body; `false` if it is long, or breaks off.
async fn skip(mut body: Incoming) -> bool {
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        read += frame.data_ref().map_or(0, Bytes::len);
        if read > BODY_BYTES_MAX {
            return false;
        }
    }
    true
}
