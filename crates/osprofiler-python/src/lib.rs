// SPDX-License-Identifier: Apache-2.0
//! The module `osprofiler._native`: the Rust half of the Python package.
//!
//! What is exported stands here and nothing else. The modules stand in the order of a point's way: the context says where it
//! is, the profiler opens and closes it, its values become text, the notifier passes it on to a store.

mod context;
mod profiler;

mod json_text;
mod value;

mod notifier;

mod headers;
mod store;

mod command;

#[pyo3::pymodule]
mod _native {
    #[pymodule_export]
    use super::command::run_command;
    #[pymodule_export]
    use super::context::Node;
    #[pymodule_export]
    use super::headers::{sign, unpack_headers};
    #[pymodule_export]
    use super::notifier::{counters, flush, get_notifier, log_messages_now, set_notifier};
    #[pymodule_export]
    use super::profiler::{
        Profiler, clean, close_point, current_context, enter_context, get, init, is_tracing,
        open_context, open_point, start, stop,
    };
    #[pymodule_export]
    use super::store::{
        PyOrigin, attach, check_connection, driver_name, first_notification, list_traces, mask,
        mask_text, report, submit,
    };
    #[pymodule_export]
    use super::value::{info_json, safe_repr, safe_str};

    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "Python's name")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
