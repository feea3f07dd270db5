//! Function names for backtraces.
//!
//! A plugin has hundreds, and only a trap needs them. So they are kept in one piece
//! of text, and the name section as it is until it is asked.

use std::collections::BTreeMap;

use hashbrown::HashSet;

/// An index-to-name map of functions.
#[derive(Clone, Debug, Default)]
pub struct FunctionNames {
    text: Vec<u8>,
    /// Function index, and where its name begins and ends.
    entries: Vec<(u32, usize, usize)>,
}

impl FunctionNames {
    /// Makes a map with room for `capacity` names.
    pub fn with_capacity(capacity: usize) -> Self {
        // Mangled Rust names are around 60 bytes long.
        Self {
            text: Vec::with_capacity(capacity * 64),
            entries: Vec::with_capacity(capacity),
        }
    }

    /// Names the function at `index`. Of several names, any may be taken. They come
    /// from plugins, so they may be any bytes.
    pub fn add(&mut self, index: u32, name: &[u8]) {
        let start = self.text.len();
        self.text.extend_from_slice(name);
        self.entries.push((index, start, self.text.len()));
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn iter(&self) -> impl Iterator<Item = (u32, &[u8])> {
        let entries = self.entries.iter();
        entries.map(|&(index, start, end)| (index, &self.text[start..end]))
    }
}

/// How many names are looked at; no plugin has as many functions.
const MAX_NAMES: usize = 200_000;

/// Where a module's function names come from.
#[derive(Debug)]
pub(crate) enum NameSource {
    Given(FunctionNames),
    /// The contents of the name section.
    Section(Box<[u8]>),
}

impl NameSource {
    /// `section` is the contents of the name section.
    pub(crate) fn new(given: FunctionNames, section: &[u8]) -> Self {
        if given.is_empty() {
            Self::Section(section.into())
        } else {
            Self::Given(given)
        }
    }

    /// The names of these functions. They are wanted for the few frames of a trap, so they
    /// are not worth an index.
    pub(crate) fn find(&self, functions: &HashSet<u32>) -> BTreeMap<u32, &[u8]> {
        fn wanted<'a>(
            all: impl Iterator<Item = (u32, &'a [u8])>,
            functions: &HashSet<u32>,
        ) -> BTreeMap<u32, &'a [u8]> {
            all.take(MAX_NAMES)
                .filter(|(index, _)| functions.contains(index))
                .collect()
        }
        match self {
            Self::Given(names) => wanted(names.iter(), functions),
            Self::Section(bytes) => wanted(function_names(bytes), functions),
        }
    }
}

/// Reads from the front of a module or of a part of it.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    /// An unsigned LEB128 of 32 bits.
    fn number(&mut self) -> Option<u32> {
        let mut number = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(number).ok();
            }
        }
        None
    }

    /// Bytes that follow their number.
    fn bytes(&mut self) -> Option<&'a [u8]> {
        let size = self.number()? as usize;
        let (bytes, rest) = self.0.split_at_checked(size)?;
        self.0 = rest;
        Some(bytes)
    }

    /// A section, or a part of the name section: its number and contents.
    fn section(&mut self) -> Option<(u8, &'a [u8])> {
        Some((self.byte()?, self.bytes()?))
    }
}

/// The contents of the name section, or nothing.
pub(crate) fn section(bytecode: &[u8]) -> &[u8] {
    const CUSTOM: u8 = 0;
    let mut module = Reader(bytecode.get(8..).unwrap_or_default());
    while let Some((id, contents)) = module.section() {
        let mut custom = Reader(contents);
        if id == CUSTOM && custom.bytes() == Some(b"name") {
            return custom.0;
        }
    }
    &[]
}

/// The function names of a name section. Names are for people: where it cannot be read, it
/// ends.
fn function_names(section: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    const FUNCTIONS: u8 = 1;
    let mut parts = Reader(section);
    let mut parts = std::iter::from_fn(move || parts.section());
    let mut names = Reader(parts.find(|it| it.0 == FUNCTIONS).map_or(&[], |it| it.1));
    let count = names.number().unwrap_or(0);
    (0..count).map_while(move |_| Some((names.number()?, names.bytes()?)))
}
