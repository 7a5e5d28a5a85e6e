//! `stratalog broker`: starts the broker, says so in one stable line, serves until told to stop.

use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::broker::{self, Running};
use crate::config::{BrokerConfig, Loaded, LoggingConfig, Mode, Notice, TierLocation};

/// Serves with a loaded configuration; returns when the broker has stopped. 0: a clean stop.
pub fn run(loaded: Loaded) -> ExitCode {
    log_to_stderr(&loaded.config.logging);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("stratalog").build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("the runtime did not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    for notice in &loaded.notices {
        match notice {
            Notice::Info(text) => tracing::info!("{text}"),
            Notice::Warning(text) => tracing::warn!("{text}"),
        }
    }
    let code = runtime.block_on(serve(loaded.config));
    runtime.shutdown_timeout(Duration::from_secs(1));
    code
}

async fn serve(config: BrokerConfig) -> ExitCode {
    let running = match broker::start(config).await {
        Ok(running) => running,
        Err(error) => {
            tracing::error!("not started: {}", chain(&error));
            return ExitCode::FAILURE;
        }
    };
    ready(&running);
    let failed = tokio::select! {
        () = wait_for_signal() => None,
        reason = running.all_directories_failed() => Some(reason),
    };
    match failed {
        None => tracing::info!("stopping: answering what was asked, then closing the data directory"),
        Some(reason) => {
            tracing::error!("stopping: every data directory has failed: {reason}; mend the disk and start again")
        }
    }
    match running.stop().await {
        Ok(()) => {
            tracing::info!("stopped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!("stopped uncleanly: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// The one stable line: scripts wait for it and read the address from it.
fn ready(running: &Running) {
    let config = &running.node.config;
    let listeners: Vec<String> =
        running.listening.iter().map(|(name, address)| format!("{name}://{address}")).collect();
    let tier = match config.tier.as_ref().map(|tier| &tier.location) {
        None => "none".to_owned(),
        Some(TierLocation::Directory { path, embedded: true }) => {
            format!("file://{} (same disk as the data: adds no durability)", path.display())
        }
        Some(TierLocation::Directory { path, embedded: false }) => format!("file://{}", path.display()),
        Some(TierLocation::S3(s3)) => format!("s3://{}/{}", s3.bucket, s3.prefix),
    };
    let hot_set = match config.settings.text("log.local.retention.ms") {
        Some("-2") | None => "as long as retention".to_owned(),
        Some(ms) => ms.parse::<u64>().map_or_else(|_| ms.to_owned(), |ms| format!("{} h", ms / 3_600_000)),
    };
    let defaults = if config.settings.mode() == Mode::Bare { "stratalog's" } else { "Kafka's" };
    tracing::info!(
        address = %running.address(),
        listeners = %listeners.join(","),
        data = %config.data_dir().display(),
        tier = %tier,
        hot_set = %hot_set,
        admin = %running.admin.map(|address| address.to_string()).unwrap_or_else(|| "none".to_owned()),
        defaults,
        cluster_id = %running.node.cluster_id,
        "ready"
    );
}

/// Returns at SIGTERM or SIGINT. From its first poll on they do not end the process by themselves.
pub async fn wait_for_signal() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

fn log_to_stderr(logging: &LoggingConfig) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_new(&logging.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // A second call, as tests make one, keeps the first subscriber.
    let _ = if logging.json {
        subscriber.json().flatten_event(true).try_init()
    } else {
        subscriber.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init()
    };
}

/// An error with all its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
