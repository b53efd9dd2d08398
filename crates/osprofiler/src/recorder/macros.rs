// SPDX-License-Identifier: Apache-2.0
//! The macros of trace points: the info's keys and constants become a shape at compile time, the rest expressions that are
//! evaluated only where the point is on.
//!
//! `__shape!` goes through the members once, with two results: the shape's parts, and the expressions of its holes. An object that
//! opens is put back in front of the rest with a `;` behind it, which closes it.

/// Opens a [`Point`](crate::recorder::Point) on this thread: `point!("name")` or `point!("name", {members})`.
///
/// The info is written as JSON is. Constants cost nothing; other values (see [`Value`](crate::recorder::Value)) are copied behind the record;
/// `%value` is shown by its `Display`, `?value` by its `Debug`. Expressions are evaluated only if the thread is in a trace, and before the
/// point's start is recorded. The name is a constant.
///
/// Cost off: a thread-local load and a branch. On: see [`Point`](crate::recorder::Point), and about 4 ns a value.
///
/// ```
/// use osprofiler::point;
///
/// let (sql, rows) = ("select * from images", 20);
/// let _point = point!("db", {
///     "db": {"statement": sql, "limit": rows, "dialect": "sqlite"},
///     "after": ?std::time::Duration::from_millis(3),
///     "attempt": 1,
/// });
/// ```
#[macro_export]
macro_rules! point {
    ($name:expr $(,)?) => {{
        static SITE: $crate::recorder::Site = $crate::recorder::Site::new($name, &[]);
        $crate::recorder::Point::at(&SITE)
    }};
    ($name:expr, {$($info:tt)*} $(,)?) => {
        $crate::__shape!(
            [open $crate::recorder::Point, $name] [] [] $($info)*
        )
    };
}

/// Opens an [`OpenPoint`](crate::recorder::OpenPoint), which belongs to no thread; written, and priced, as [`point!`](crate::point).
///
/// ```
/// use osprofiler::{start, stop};
///
/// let transfer = start!("transfer", {"to": "node-2"});
/// std::thread::spawn(move || stop!(transfer, {"bytes": 4096}));
/// ```
#[macro_export]
macro_rules! start {
    ($name:expr $(,)?) => {{
        static SITE: $crate::recorder::Site = $crate::recorder::Site::new($name, &[]);
        $crate::recorder::OpenPoint::at(&SITE)
    }};
    ($name:expr, {$($info:tt)*} $(,)?) => {
        $crate::__shape!(
            [open $crate::recorder::OpenPoint, $name] [] [] $($info)*
        )
    };
}

/// Ends a point: `stop!(point)` or, with an info as in [`point!`](crate::point), `stop!(point, {members})`. Expressions are evaluated only if the
/// point is on.
///
/// ```
/// use osprofiler::{point, stop};
///
/// let point = point!("db");
/// let rows = 3;
/// stop!(point, {"db": {"rows": rows}});
/// ```
#[macro_export]
macro_rules! stop {
    ($point:expr $(,)?) => {
        ::core::mem::drop($point)
    };
    ($point:expr, {$($info:tt)*} $(,)?) => {
        $crate::__shape!([stop $point] [] [] $($info)*)
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __open_point {
    ($type:path, $name:expr, [$($part:tt)*] [$($value:tt)*]) => {{
        static SITE: $crate::recorder::Site =
            $crate::recorder::Site::new($name, &[$($part)*]);
        if $crate::recorder::is_on() {
            <$type>::with(&SITE, &$crate::__values!($($value)*))
        } else {
            <$type>::off()
        }
    }};
}

#[doc(hidden)]
#[macro_export]
macro_rules! __stop_point {
    ($point:expr, [$($part:tt)*] [$($value:tt)*]) => {{
        static SITE: $crate::recorder::Site =
            $crate::recorder::Site::new("", &[$($part)*]);
        let point = $point;
        if point.is_on() {
            point.stop_with(&SITE, &$crate::__values!($($value)*));
        }
    }};
}

#[doc(hidden)]
#[macro_export]
macro_rules! __values {
    () => { () };
    (($first:expr) $($rest:tt)*) => { (&$first, $crate::__values!($($rest)*)) };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __shape {
    // Done.
    ([open $type:path, $name:expr] $parts:tt $values:tt) => {
        $crate::__open_point!($type, $name, $parts $values)
    };
    ([stop $point:expr] $parts:tt $values:tt) => {
        $crate::__stop_point!($point, $parts $values)
    };
    // An object closes; members are separated.
    ($then:tt [$($part:tt)*] $values:tt ; $($rest:tt)*) => {
        $crate::__shape!($then [$($part)* $crate::recorder::Part::Close,] $values $($rest)*)
    };
    ($then:tt $parts:tt $values:tt , $($rest:tt)*) => {
        $crate::__shape!($then $parts $values $($rest)*)
    };
    // An object opens.
    ($then:tt [$($part:tt)*] $values:tt $key:literal : {$($inner:tt)*} $($rest:tt)*) => {
        $crate::__shape!(
            $then
            [$($part)* $crate::recorder::Part::Key($key), $crate::recorder::Part::Open,]
            $values $($inner)* ; $($rest)*
        )
    };
    // A constant.
    ($then:tt [$($part:tt)*] $values:tt $key:literal : $value:literal $(, $($rest:tt)*)?) => {
        $crate::__shape!(
            $then
            [$($part)* $crate::recorder::Part::Key($key), $crate::recorder::Part::Static(&$value),]
            $values $($($rest)*)?
        )
    };
    ($then:tt [$($part:tt)*] $values:tt $key:literal : $value:literal ; $($rest:tt)*) => {
        $crate::__shape!(
            $then
            [$($part)* $crate::recorder::Part::Key($key), $crate::recorder::Part::Static(&$value),]
            $values ; $($rest)*
        )
    };
    // A value shown by its `Display` or `Debug`.
    ($then:tt $parts:tt $values:tt $key:literal : % $value:expr $(, $($rest:tt)*)?) => {
        $crate::__shape!(
            @hole $then $parts $values $key ($crate::recorder::display(&$value)) $($($rest)*)?
        )
    };
    ($then:tt $parts:tt $values:tt $key:literal : % $value:expr ; $($rest:tt)*) => {
        $crate::__shape!(
            @hole $then $parts $values $key ($crate::recorder::display(&$value)) ; $($rest)*
        )
    };
    ($then:tt $parts:tt $values:tt $key:literal : ? $value:expr $(, $($rest:tt)*)?) => {
        $crate::__shape!(
            @hole $then $parts $values $key ($crate::recorder::debug(&$value)) $($($rest)*)?
        )
    };
    ($then:tt $parts:tt $values:tt $key:literal : ? $value:expr ; $($rest:tt)*) => {
        $crate::__shape!(
            @hole $then $parts $values $key ($crate::recorder::debug(&$value)) ; $($rest)*
        )
    };
    // Any other value.
    ($then:tt $parts:tt $values:tt $key:literal : $value:expr $(, $($rest:tt)*)?) => {
        $crate::__shape!(@hole $then $parts $values $key ($value) $($($rest)*)?)
    };
    ($then:tt $parts:tt $values:tt $key:literal : $value:expr ; $($rest:tt)*) => {
        $crate::__shape!(@hole $then $parts $values $key ($value) ; $($rest)*)
    };
    (@hole $then:tt [$($part:tt)*] [$($before:tt)*] $key:literal $value:tt $($rest:tt)*) => {
        $crate::__shape!(
            $then
            [$($part)* $crate::recorder::Part::Key($key), $crate::recorder::Part::Hole,]
            [$($before)* $value] $($rest)*
        )
    };
}
