// SPDX-License-Identifier: Apache-2.0
//! Durations and shares in the few columns of a table.

/// Three digits or so, in the unit that fits; at most nine columns.
pub(super) fn duration(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let micros = micros.unsigned_abs();
    let text = match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..9_995 => format!("{:.2} ms", micros as f64 / 1e3),
        9_995..99_950 => format!("{:.1} ms", micros as f64 / 1e3),
        99_950..999_500 => format!("{:.0} ms", micros as f64 / 1e3),
        999_500..9_995_000 => format!("{:.2} s", micros as f64 / 1e6),
        9_995_000..99_950_000 => format!("{:.1} s", micros as f64 / 1e6),
        99_950_000..6_000_000_000 => {
            let seconds = micros / 1_000_000;
            format!("{} m {:02} s", seconds / 60, seconds % 60)
        }
        6_000_000_000..360_000_000_000 => {
            let minutes = micros / 60_000_000;
            format!("{} h {:02} m", minutes / 60, minutes % 60)
        }
        _ => format!("{} d", micros / 86_400_000_000),
    };
    format!("{sign}{text}")
}

/// How much of `total` that is: `42%`, a dot below one percent, nothing if there is nothing to compare with.
pub(super) fn share(micros: i64, total: i64) -> String {
    if total <= 0 || micros <= 0 {
        return String::new();
    }
    match i128::from(micros) * 100 / i128::from(total) {
        0 => "·".to_owned(),
        percent @ 1..1000 => format!("{percent}%"),
        _ => ">999%".to_owned(),
    }
}

/// `number` with commas between groups of three digits.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_take_the_unit_that_fits() {
        for (micros, expected) in [
            (0, "0 µs"),
            (999, "999 µs"),
            (1_000, "1.00 ms"),
            (9_994, "9.99 ms"),
            (9_995, "10.0 ms"),
            (99_949, "99.9 ms"),
            (99_950, "100 ms"),
            (999_499, "999 ms"),
            (999_500, "1.00 s"),
            (12_345_678, "12.3 s"),
            (99_950_000, "1 m 39 s"),
            (3_725_000_000, "62 m 05 s"),
            (6_000_000_000, "1 h 40 m"),
            (360_000_000_000, "4 d"),
            (-2_500, "-2.50 ms"),
            (i64::MIN, "-106751991 d"),
        ] {
            assert_eq!(duration(micros), expected);
        }
    }

    #[test]
    fn shares_are_whole_percents() {
        for (micros, total, expected) in [
            (0, 100, ""),
            (-5, 100, ""),
            (5, 0, ""),
            (1, 1000, "·"),
            (10, 1000, "1%"),
            (1000, 1000, "100%"),
            (i64::MAX, i64::MAX, "100%"),
            (i64::MAX, 1, ">999%"),
        ] {
            assert_eq!(share(micros, total), expected);
        }
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}
