// SPDX-License-Identifier: Apache-2.0
//! The signed pair of headers that carries a trace from service to service.
