// SPDX-License-Identifier: Apache-2.0
//! The module `osprofiler._native`: the Rust half of the Python package.
//!
//! What is exported stands here and nothing else. The modules stand in the order of a point's way: a traced function or a `Trace` is
//! entered, the context says where it is, the point is opened and closed there, its values become text, the notifier passes it on
//! to a store.

mod gil;
mod heap_type;
mod raised;

mod function;
mod point;
mod trace;

mod context;
mod points;
mod profiler;
mod replaced;

mod arguments;
mod json_text;
mod value;

mod dropped;
mod notifier;
mod secrets;

mod headers;
mod objects;
mod store;

mod command;

#[pyo3::pymodule(gil_used = true)]
mod _native {
    use pyo3::prelude::*;

    /// Types made through C's interface.
    #[pymodule_init]
    fn init_module(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let py = module.py();
        module.add("_Context", super::context::prepare(py)?)?;
        module.add("TracedFunction", super::function::prepare(py)?)?;
        module.add("Trace", super::trace::prepare(py)?)
    }

    #[pymodule_export]
    use super::command::run_command;
    #[pymodule_export]
    use super::function::traced_function;
    #[pymodule_export]
    use super::headers::{foreign_span, sign, traceparent, unpack_headers};
    #[pymodule_export]
    use super::notifier::{
        counters, end, flush, get_notifier, let_time_pass, log_messages_now, set_bounds,
        set_notifier, set_publish_counters,
    };
    #[pymodule_export]
    use super::objects::from_json;
    #[pymodule_export]
    use super::point::{Point, error_info};
    #[pymodule_export]
    use super::points::{
        close_point, current_context, enter_context, is_tracing, open_context, open_point, start,
        stop,
    };
    #[pymodule_export]
    use super::profiler::{Profiler, clean, get, init};
    #[pymodule_export]
    use super::raised::hide_frame;
    #[pymodule_export]
    use super::replaced::watch_module;
    #[pymodule_export]
    use super::secrets::{is_masking, is_secret_name, set_mask_secrets};
    #[pymodule_export]
    use super::store::{
        PyOrigin, attach, can_read, check_connection, driver_name, list_first_notifications,
        list_traces, mask, mask_text, report, split_connection_strings, submit,
    };
    #[pymodule_export]
    use super::value::{info_json, safe_repr, safe_str};

    #[pymodule_export]
    const MASK: &str = osprofiler::secrets::MASK;

    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "Python's name")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
