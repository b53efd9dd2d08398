// SPDX-License-Identifier: Apache-2.0
//! Whole numbers on the command line: a parser that says which are wanted.
//!
//! In: the text behind an option. Out: a number of the option's own type, not below its least.

use std::fmt::Display;
use std::num::{IntErrorKind, ParseIntError};
use std::str::FromStr;

/// A parser of numbers that are `least` or more.
pub(crate) fn at_least<N>(least: N) -> impl Fn(&str) -> Result<N, String> + Clone
where
    N: FromStr<Err = ParseIntError> + PartialOrd + Display + Copy,
{
    move |text| match text.parse::<N>() {
        Ok(number) if number >= least => Ok(number),
        Err(error) if *error.kind() == IntErrorKind::PosOverflow => {
            Err("that is too large".to_owned())
        }
        _ => Err(format!("give a whole number, {least} or more")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_such_number_is_told_what_is_wanted() {
        let wanted = Err("give a whole number, 40 or more".to_owned());
        for (text, expected) in [
            ("40", Ok(40)),
            ("65535", Ok(u16::MAX)),
            ("65536", Err("that is too large".to_owned())),
            ("39", wanted.clone()),
            ("-41", wanted.clone()),
            ("x", wanted.clone()),
            ("41.5", wanted.clone()),
            ("", wanted),
        ] {
            assert_eq!(at_least(40_u16)(text), expected, "{text}");
        }
    }
}
