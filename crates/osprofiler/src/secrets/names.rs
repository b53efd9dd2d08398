// SPDX-License-Identifier: Apache-2.0
//! The names under which secrets stand, and finding any of them in a text, in any case.
//!
//! Nearly all texts have none, so the search is for pairs of letters that each name has one of and that other texts seldom
//! have: sixteen places at once, in a loop that the compiler turns into vector instructions. Only where a pair is found the names
//! are compared.

use std::ops::Range;

/// The names, in lower case: those of `oslo_utils.strutils`, which OpenStack's services mask in their logs.
#[rustfmt::skip] // as they stand there
pub const NAMES: &[&str] = &[
    "adminpass", "admin_pass", "password", "admin_password", "auth_token", "new_pass", "auth_password", "secret_uuid", "secret",
    "sys_pswd", "token", "configdrive", "chappassword", "encrypted_key", "private_key", "fernetkey", "sslkey", "passphrase",
    "cephclusterfsid", "octaviaheartbeatkey", "rabbitcookie", "cephmanilaclientkey", "pacemakerremoteauthkey",
    "designaterndckey", "cephadminkey", "heatauthencryptionkey", "cephclientkey", "keystonecredential",
    "barbicansimplecryptokek", "cephrgwkey", "swifthashsuffix", "migrationsshkey", "cephmdskey", "cephmonkey", "chapsecret",
];

/// Letters that follow each other in a name and seldom elsewhere. Each name has one; the first that it has finds it.
const ANCHORS: [[u8; 3]; 8] = [
    *b"ey*", *b"ok*", *b"dm*", *b"ph*", *b"sw*", *b"gd*", *b"w_*", *b"ecr",
];
/// Any letter, in an anchor.
const ANY: u8 = b'*';

/// How many places are looked at in one go.
const LANES: usize = 16;
/// How many bytes these need.
const BLOCK: usize = LANES + 2;

/// Names with the offset of their anchor, by anchor.
const FOUND_BY: [[Option<(&str, usize)>; 20]; ANCHORS.len()] = found_by();

/// Where the first name at or after `from` stands, with its longer form where it has one.
pub(super) fn find(text: &[u8], from: usize) -> Option<Range<usize>> {
    let mut begin = from;
    while let Some(block) = text[begin..].first_chunk() {
        if has_anchor(block)
            && let Some(found) = find_in(text, begin..begin + LANES, from)
        {
            return Some(found);
        }
        begin += LANES;
    }
    // What is left is shorter than a block, and followed by nothing.
    let mut block = [0; BLOCK];
    let rest = &text[begin..];
    match text[from..].last_chunk::<LANES>() {
        // Of a size that is known, which is quicker to copy.
        Some(last) if rest.len() <= LANES => block[..LANES].copy_from_slice(last),
        _ => block[..rest.len()].copy_from_slice(rest),
    }
    if has_anchor(&block) {
        find_in(text, begin..text.len(), from)
    } else {
        None
    }
}

/// Whether an anchor begins at one of the first [`LANES`] bytes.
fn has_anchor(block: &[u8; BLOCK]) -> bool {
    let mut hit = false;
    for place in 0..LANES {
        let letters = [block[place], block[place + 1], block[place + 2]].map(lower);
        let mut here = false;
        for anchor in ANCHORS {
            here |= is_anchor(letters, anchor);
        }
        hit |= here;
    }
    hit
}

/// Lower case for letters; what else becomes of other bytes is the same for the anchors.
const fn lower(byte: u8) -> u8 {
    byte | 0x20
}

#[inline]
const fn is_anchor(letters: [u8; 3], anchor: [u8; 3]) -> bool {
    (letters[0] == lower(anchor[0]))
        & (letters[1] == lower(anchor[1]))
        & ((anchor[2] == ANY) | (letters[2] == lower(anchor[2])))
}

#[cold]
#[inline(never)]
/// The first name from `from` on that has its anchor at one of the places.
fn find_in(text: &[u8], places: Range<usize>, from: usize) -> Option<Range<usize>> {
    for place in places {
        let at = |offset: usize| text.get(place + offset).copied().map_or(0, lower);
        let letters = [at(0), at(1), at(2)];
        for (anchor, names) in ANCHORS.iter().zip(&FOUND_BY) {
            if !is_anchor(letters, *anchor) {
                continue;
            }
            let ranges = names
                .iter()
                .map_while(|name| *name)
                .filter_map(|(name, offset)| {
                    let begin = place.checked_sub(offset).filter(|begin| *begin >= from)?;
                    let range = begin..begin + name.len();
                    let here = text.get(range.clone())?;
                    here.eq_ignore_ascii_case(name.as_bytes()).then_some(range)
                });
            if let Some(found) = ranges.max_by_key(|range| range.end) {
                return Some(found);
            }
        }
    }
    None
}

const fn found_by() -> [[Option<(&'static str, usize)>; 20]; ANCHORS.len()] {
    let mut found = [[None; 20]; ANCHORS.len()];
    let mut count = [0; ANCHORS.len()];
    let mut index = 0;
    while index < NAMES.len() {
        let (anchor, offset) = anchor_of(NAMES[index].as_bytes());
        found[anchor][count[anchor]] = Some((NAMES[index], offset));
        count[anchor] += 1;
        index += 1;
    }
    found
}

/// The anchor of a name and where it has it. A name without one does not compile.
const fn anchor_of(name: &[u8]) -> (usize, usize) {
    let mut anchor = 0;
    while anchor < ANCHORS.len() {
        let mut offset = 0;
        while offset + 1 < name.len() {
            let third = if offset + 2 < name.len() {
                name[offset + 2]
            } else {
                0
            };
            let letters = [lower(name[offset]), lower(name[offset + 1]), lower(third)];
            if is_anchor(letters, ANCHORS[anchor]) {
                return (anchor, offset);
            }
            offset += 1;
        }
        anchor += 1;
    }
    panic!("a name has none of the anchors: add one")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each name at each place of a block, in any case, and nothing else.
    #[test]
    fn each_name_is_found_wherever_it_stands() {
        for name in NAMES {
            for before in 0..3 * LANES {
                let upper = name.to_uppercase();
                for written in [*name, &upper] {
                    let text = format!("{}{written}", "é".repeat(before));
                    let begin = 2 * before;
                    let found = find(text.as_bytes(), 0);
                    // A name within the name may be found first; the whole name ends where it does.
                    assert_eq!(
                        found.clone().map(|found| found.end),
                        Some(text.len()),
                        "{text}: {found:?}"
                    );
                    assert!(found.is_some_and(|found| found.start >= begin), "{text}");
                    assert_eq!(
                        find(&text.as_bytes()[..text.len() - 1], begin + 1),
                        None,
                        "{text}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_longer_of_two_names_is_found() {
        assert_eq!(find(b"a secret_uuid", 0), Some(2..13));
        assert_eq!(find(b"a secret_uui", 0), Some(2..8));
    }

    #[test]
    fn the_search_goes_on_behind() {
        assert_eq!(find(b"token token", 1), Some(6..11));
        assert_eq!(find(b"token", 5), None);
    }

    #[test]
    fn what_is_like_a_name_is_none() {
        for text in [
            "",
            "pass word",
            "tok",
            "keystone",
            "broken",
            "sweden",
            "ecret",
            "key\u{2028}",
        ] {
            assert_eq!(find(text.as_bytes(), 0), None, "{text}");
        }
    }
}
