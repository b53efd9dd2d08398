// SPDX-License-Identifier: Apache-2.0
//! The tables of the stores: a line a figure, then what one is of another and what was wanted of it.

use std::fmt::Write as _;

/// The smallest of some measurements, one at least, and the one in the middle.
pub(super) fn least_and_median(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_unstable_by(f64::total_cmp);
    (values[0], values[values.len() / 2])
}

/// The largest of some measurements, one at least, and the one in the middle.
pub(super) fn most_and_median(values: Vec<f64>) -> (f64, f64) {
    let most = values.iter().copied().fold(f64::MIN, f64::max);
    (most, least_and_median(values).1)
}

/// The ratio in the middle, each of two measurements that were made one after the other: what slows the machine slows both.
pub(super) fn paired(ours: &[f64], others: &[f64]) -> f64 {
    let ratios = ours.iter().zip(others).map(|(ours, other)| ours / other);
    least_and_median(ratios.collect()).1
}

pub(super) fn head(out: &mut String, title: &str, columns: [&str; 4]) {
    let [first, second, third, fourth] = columns;
    let _ = writeln!(
        out,
        "{title:<60} {first:>10} {second:>10} {third:>9} {fourth:>5}"
    );
}

/// A line with a ratio, and the verdict where at least so much was wanted.
pub(super) fn ratio(out: &mut String, name: &str, ratio: f64, at_least: Option<f64>) {
    let verdict = match at_least {
        None => String::new(),
        Some(wanted) if ratio >= wanted => format!("(wanted: {wanted} x) as wanted"),
        Some(wanted) => format!("(wanted: {wanted} x) less than wanted"),
    };
    let line = format!("{name:<60} {ratio:>10.2} x {verdict}");
    let _ = writeln!(out, "{}", line.trim_end());
}
