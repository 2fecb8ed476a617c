//! `annal serve`: engine and server, joined, until a signal.
//!
//! The port is bound first, so that a restart loses no connection it need not lose: while the log is
//! recovered, requests are answered with 503. The first signal ends it in order, within
//! `shutdown_ms_max`; the second at once.

mod banner;

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use annal_engine::{Engine, EngineOptions};
use annal_server::{
    CallbackAuthorities, CallbackRules, Demo, EngineSlot, Listener, Server, ServerOptions,
};
use annal_storage::{DirLock, LockError};
use anyhow::{Context, anyhow, bail};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

use crate::{
    cli::{Setting, Usage},
    config::{DEFAULT_PORT, Settings},
    demo::Switch,
    open_files, small_pages, target,
};

/// What is left of the time for shutting down when requests have had theirs.
const CLOSE_MAX: Duration = Duration::from_secs(10);

/// Where large batches wait in the data directory until all of them has come.
const SPOOL_DIR: &str = "tmp";

/// Serves until it is told to stop.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<()> {
    if setting.url.is_some() {
        return Err(Usage("serve runs a server here; it takes no --url".to_owned()).into());
    }
    open_files::raise();
    small_pages::prefer();
    let settings = &setting.settings;
    let options = settings.engine_options()?;
    let authorities = settings.callback_authorities()?;
    let dir = settings.data_dir();
    let doors = Doors::open(settings, &dir)?;
    let place = Place::new(settings, &doors)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(serve(settings, options, authorities, &dir, doors, &place));
    // Tasks of connections that outlived their grace are not waited for.
    runtime.shutdown_background();
    close(served?)
}

/// Where clients find this server.
struct Place {
    /// As clients are to call it.
    base_url: String,
    /// As commands on this machine reach it.
    local_url: String,
    /// Where it speaks gRPC, if it does.
    grpc: Option<SocketAddr>,
    /// Where clients of Events-DB reach it by REST, if they do.
    rest: Option<SocketAddr>,
    /// Whether other machines reach it too.
    public: bool,
}

impl Place {
    fn new(settings: &Settings, doors: &Doors) -> io::Result<Place> {
        let address = doors.http.local_addr()?;
        let port = address.port();
        let default = || format!("http://localhost:{port}");
        let base_url = settings.base_url.clone().unwrap_or_else(default);
        let local = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            ip => ip,
        };
        let of =
            |door: &Option<TcpListener>| door.as_ref().map(TcpListener::local_addr).transpose();
        Ok(Place {
            grpc: of(&doors.grpc)?,
            rest: of(&doors.rest)?,
            base_url: base_url.trim_end_matches('/').to_owned(),
            local_url: format!("http://{}", SocketAddr::new(local, port)),
            public: !address.ip().is_loopback(),
        })
    }
}

/// The ports that are listened on.
struct Doors {
    http: TcpListener,
    grpc: Option<TcpListener>,
    rest: Option<TcpListener>,
}

impl Doors {
    fn open(settings: &Settings, dir: &Path) -> anyhow::Result<Doors> {
        let ip = settings.bind.unwrap_or(Ipv4Addr::LOCALHOST.into());
        let bind = |port, flag| bind(SocketAddr::new(ip, port), flag, dir);
        let http = bind(settings.port.unwrap_or(DEFAULT_PORT), "--port")?;
        let grpc = match settings.grpc_port() {
            None => None,
            Some(port) => match bind(port, "--grpc-port") {
                Ok(listener) => Some(listener),
                // Nobody asked for it by name: a second server beside the first need not fail.
                Err(error) if settings.grpc_port.is_none() => {
                    tracing::warn!("no gRPC: {error:#}");
                    None
                }
                Err(error) => return Err(error),
            },
        };
        let rest = settings.rest_port().map(|port| bind(port, "--rest-port")).transpose()?;
        Ok(Doors { http, grpc, rest })
    }

    fn listeners(self) -> io::Result<Vec<Listener>> {
        let tokio = tokio::net::TcpListener::from_std;
        let mut listeners = vec![Listener::Tcp(tokio(self.http)?)];
        listeners.extend(self.grpc.map(tokio).transpose()?.map(Listener::Grpc));
        listeners.extend(self.rest.map(tokio).transpose()?.map(Listener::Rest));
        Ok(listeners)
    }
}

fn bind(address: SocketAddr, flag: &str, dir: &Path) -> anyhow::Result<TcpListener> {
    let listener =
        TcpListener::bind(address).map_err(|error| explain(error, address, flag, dir))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// A port in use is most often this very program, started before.
fn explain(error: io::Error, address: SocketAddr, flag: &str, dir: &Path) -> anyhow::Error {
    if error.kind() != io::ErrorKind::AddrInUse {
        return anyhow!(error).context(format!("cannot listen on {address}"));
    }
    if dir.is_dir()
        && let Err(held @ LockError::Held { .. }) = DirLock::acquire(dir)
    {
        return held.into();
    }
    anyhow!(
        "port {} on {} is in use by another program; choose one with {flag} (0 takes a free one)",
        address.port(),
        address.ip()
    )
}

/// Opens the engine while the server listens already, and returns it when the server has ended.
async fn serve(
    settings: &Settings,
    options: EngineOptions,
    authorities: CallbackAuthorities,
    dir: &Path,
    doors: Doors,
    place: &Place,
) -> anyhow::Result<Option<Running>> {
    let mut signals = Signals::new()?;
    let slot = EngineSlot::new();
    let (stop, stopped) = watch::channel(false);
    let demo = Arc::new(Switch::new(&place.base_url, settings.demo_interval()));
    let options_of_server = ServerOptions {
        demo: Some(Arc::clone(&demo) as Arc<dyn Demo>),
        callback_authorities: authorities,
        ..server_options(settings, dir, place)
    };
    let server = Server::new(options_of_server, slot.clone());
    let listeners = doors.listeners()?;
    let until = wait_for(stopped);
    let serving = tokio::spawn(server.serve(listeners, until));

    let opening = tokio::task::spawn_blocking({
        let dir = dir.to_owned();
        move || Engine::open(&dir, options)
    });
    let opened = tokio::select! {
        opened = opening => opened.context("opening the data directory was given up")?,
        () = signals.next() => {
            // What a recovery has not finished, the next start does again.
            tracing::info!("stopped while the log was being opened");
            return Ok(None);
        }
    };
    let engine = opened.with_context(|| target::cannot_open(dir))?;
    clear_spool(dir).context("cannot clear the directory of temporary files")?;
    let running = Running::start(engine, settings, place, demo)?;
    slot.fill(running.engine.clone());
    banner::print(settings, place, dir, &running.engine);

    signals.next().await;
    tracing::info!("stopping; a second signal ends at once");
    tokio::spawn(async move {
        signals.next().await;
        eprintln!("ended at once; the log is recovered at the next start");
        process::exit(1);
    });
    let demo = Arc::clone(&running.demo);
    tokio::task::spawn_blocking(move || demo.stop());
    let _ = stop.send(true);
    serving.await.context("the server ended badly")?;
    Ok(Some(running))
}

/// Files there have no names for longer than it takes to make them; a crash may still leave one.
fn clear_spool(dir: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(dir.join(SPOOL_DIR)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        fs::remove_file(entry?.path())?;
    }
    Ok(())
}

async fn wait_for(mut stopped: watch::Receiver<bool>) {
    // An error means that nobody can tell any more, which is the end too.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

fn server_options(settings: &Settings, dir: &Path, place: &Place) -> ServerOptions {
    let defaults = ServerOptions::default();
    let or = |set: Option<u64>, default: usize| {
        set.map_or(default, |set| usize::try_from(set).unwrap_or(usize::MAX))
    };
    ServerOptions {
        base_url: place.base_url.clone(),
        clients_max: or(settings.max_total_clients, defaults.clients_max),
        client_buffer_events: or(settings.client_buffer_size, defaults.client_buffer_events),
        stream_batch_events: or(settings.stream_batch_size, defaults.stream_batch_events),
        callbacks: CallbackRules {
            allow: settings.webhook_allow_cidr.iter().flatten().map(|block| block.0).collect(),
            // Who reaches this server can reach whatever else listens on this machine already.
            loopback: !place.public,
        },
        cors_origins: settings.cors_origin.clone().unwrap_or_default(),
        search_wait_max: settings.search_wait_max(),
        grace: settings.shutdown_max(),
        spool_dir: dir.join(SPOOL_DIR),
        ..defaults
    }
}

/// What has to be ended in order.
struct Running {
    engine: Engine,
    demo: Arc<Switch>,
}

impl Running {
    fn start(
        engine: Engine,
        settings: &Settings,
        place: &Place,
        demo: Arc<Switch>,
    ) -> anyhow::Result<Running> {
        // Commands that find the directory taken read this.
        engine.announce(&place.local_url).context("cannot write the lock file")?;
        if settings.demo() {
            demo.start(&engine, None).context("the demo cannot begin")?;
        }
        Ok(Running { engine, demo })
    }
}

/// Answers what is in line, trims the log, frees the directory; but not for ever.
fn close(running: Option<Running>) -> anyhow::Result<()> {
    let Some(running) = running else { return Ok(()) };
    let (done, told) = mpsc::channel();
    thread::spawn(move || {
        running.demo.stop();
        running.engine.shutdown();
        // Nobody listens any more once the time is over.
        let _ = done.send(());
    });
    if told.recv_timeout(CLOSE_MAX).is_err() {
        bail!(
            "the log could not be closed in {} s; it is recovered next time",
            CLOSE_MAX.as_secs()
        );
    }
    tracing::info!("stopped");
    Ok(())
}

/// Ctrl-C, and what service managers send.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Signals> {
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Signals { interrupt, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
