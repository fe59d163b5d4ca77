//! What all routers of a program share: limits, time, counters, and the places for requests in flight.

use crate::metrics;
use crate::refusal::{self, Refusal, Result};
use model::{Clock, Error, Gauge, IngestLimits, Meter};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Limits, clock and counters of the routers. Clones share them, and share the places for requests in flight, so
/// that `limits.ingest.max_inflight_requests` holds for a program and not for each of its ports.
#[derive(Clone)]
pub struct Options(Arc<Inner>);

struct Inner {
    limits: IngestLimits,
    clock: Arc<dyn Clock>,
    meter: Arc<dyn Meter>,
    places: Arc<Semaphore>,
    in_flight: Gauge,
}

impl Options {
    /// Options with these limits; records without a time get the clock's.
    pub fn new(limits: IngestLimits, clock: Arc<dyn Clock>, meter: Arc<dyn Meter>) -> Self {
        let places = limits.max_inflight_requests.clamp(1, Semaphore::MAX_PERMITS);
        Self(Arc::new(Inner {
            places: Arc::new(Semaphore::new(places)),
            in_flight: meter.gauge(&metrics::IN_FLIGHT, &[]),
            limits,
            clock,
            meter,
        }))
    }
    pub(crate) fn limits(&self) -> &IngestLimits {
        &self.0.limits
    }
    pub(crate) fn now_ns(&self) -> i64 {
        self.0.clock.now_ns()
    }
    pub(crate) fn meter(&self) -> &dyn Meter {
        &*self.0.meter
    }
    /// Takes a place among the requests in flight, or says that there is none.
    pub(crate) fn enter(&self) -> Result<Place> {
        let permit = Arc::clone(&self.0.places).try_acquire_owned().map_err(|_| {
            let error = Error::unavailable(
                format!(
                    "{} requests are being written already (limits.ingest.max_inflight_requests); try again",
                    self.0.limits.max_inflight_requests
                ),
                Duration::from_secs(1),
            );
            Refusal::new(refusal::MAX_INFLIGHT_REQUESTS, error)
        })?;
        self.0.in_flight.add(1);
        Ok(Place {
            in_flight: self.0.in_flight.clone(),
            _permit: permit,
        })
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("limits", &self.0.limits)
            .finish_non_exhaustive()
    }
}

/// A request's place among those in flight; dropping it makes room.
pub(crate) struct Place {
    in_flight: Gauge,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.in_flight.add(-1);
    }
}
