//! Rules, alert state, grouping and notification.
