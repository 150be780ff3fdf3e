//! Which characters are shown as they are. Names and network operators come from outside, so their text
//! may be hostile.

/// Returns whether a character shows as itself. Those that change the direction of text or take no
/// room could make one text look like another. A backslash is left out, because it escapes.
#[must_use]
pub fn is_printable(character: char) -> bool {
    !character.is_control()
        && !matches!(
            character,
            '\\' | '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}
