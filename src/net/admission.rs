//! Which connections are let in: `max.connections` and `max.connections.per.ip` over all listeners.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::metrics::{Held, Metrics, ReasonLabel};

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    #[error("{0} connections are open, as many as max.connections or half of the limit of open files allow")]
    Full(usize),
    #[error("max.connections.per.ip={0} are open from this address")]
    FullForAddress(usize),
}

/// Shared by the listeners of a broker.
pub struct Admission {
    connections_max: usize,
    connections_per_ip_max: usize,
    open: Mutex<Open>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Open {
    count: usize,
    /// Addresses with a connection, so never more than `count`.
    by_ip: HashMap<IpAddr, usize>,
}

/// A connection that was let in, until it is dropped.
pub struct Admitted {
    admission: Arc<Admission>,
    ip: IpAddr,
    _counted: Held,
}

impl Admission {
    pub fn new(connections_max: usize, connections_per_ip_max: usize, metrics: Arc<Metrics>) -> Arc<Admission> {
        Arc::new(Admission { connections_max, connections_per_ip_max, open: Mutex::default(), metrics })
    }

    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Lets a connection from `ip` in, if there is room for it.
    pub fn admit(self: &Arc<Admission>, ip: IpAddr) -> Result<Admitted, NotAdmitted> {
        let ip = ip.to_canonical();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.count >= self.connections_max {
            self.refused("max_connections");
            return Err(NotAdmitted::Full(self.connections_max));
        }
        if open.by_ip.get(&ip).copied().unwrap_or(0) >= self.connections_per_ip_max {
            self.refused("max_connections_per_ip");
            return Err(NotAdmitted::FullForAddress(self.connections_per_ip_max));
        }
        open.count += 1;
        *open.by_ip.entry(ip).or_default() += 1;
        self.metrics.connections_accepted.inc();
        Ok(Admitted { admission: self.clone(), ip, _counted: Held::of(&self.metrics.connections) })
    }

    /// Counts a connection that the broker closed.
    pub fn refused(&self, reason: &'static str) {
        self.metrics.connections_refused.get_or_create(&ReasonLabel { reason }).inc();
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.admission.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.count -= 1;
        let left = open.by_ip.get_mut(&self.ip).map_or(0, |count| {
            *count -= 1;
            *count
        });
        if left == 0 {
            open.by_ip.remove(&self.ip);
        }
    }
}
