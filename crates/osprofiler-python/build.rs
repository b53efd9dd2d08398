// SPDX-License-Identifier: Apache-2.0
//! Tells the compiler which version of Python the module is built for: `cfg(Py_3_12)` is 3.12 or later.

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
}
