//! Function names for backtraces.
//!
//! A plugin has hundreds, and only a trap needs them. So they are kept in one piece
//! of text, and the name section as it is until it is asked.

use std::borrow::Cow;
use std::sync::OnceLock;

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

    fn get(&self, index: u32) -> Option<Cow<'_, str>> {
        // Searched for a few frames of a trap: not worth an index.
        let &(_, start, end) = self.entries.iter().find(|entry| entry.0 == index)?;
        Some(String::from_utf8_lossy(&self.text[start..end]))
    }
}

/// Where a module's function names come from.
#[derive(Debug)]
pub(crate) enum NameSource {
    Given(FunctionNames),
    Section {
        bytes: Box<[u8]>,
        parsed: OnceLock<FunctionNames>,
    },
}

impl NameSource {
    /// `section` is the contents of the name section.
    pub(crate) fn new(given: FunctionNames, section: &[u8]) -> Self {
        if given.is_empty() {
            Self::Section {
                bytes: section.into(),
                parsed: OnceLock::new(),
            }
        } else {
            Self::Given(given)
        }
    }

    pub(crate) fn get(&self, index: u32) -> Option<Cow<'_, str>> {
        match self {
            Self::Given(names) => names.get(index),
            Self::Section { bytes, parsed } => parsed.get_or_init(|| parse(bytes)).get(index),
        }
    }
}

/// The contents of the name section, or nothing.
#[cfg(feature = "cranelift")]
pub(crate) fn section(bytecode: &[u8]) -> &[u8] {
    use wasmer::sys::wasmparser::{Chunk, Parser, Payload};
    let mut parser = Parser::new(0);
    let mut rest = bytecode;
    while let Ok(Chunk::Parsed { consumed, payload }) = parser.parse(rest, true) {
        let mut read = consumed;
        match payload {
            Payload::CustomSection(custom) if custom.name() == "name" => return custom.data(),
            // Most of the module, and otherwise read function by function.
            Payload::CodeSectionStart { size, .. } => {
                parser.skip_section();
                read += size as usize;
            }
            Payload::End(_) => break,
            _ => {}
        }
        rest = rest.get(read..).unwrap_or_default();
    }
    &[]
}

/// Names are for people: what cannot be read is left out.
#[cfg(feature = "cranelift")]
fn parse(section: &[u8]) -> FunctionNames {
    use wasmer::sys::wasmparser::{BinaryReader, Name, NameSectionReader};
    let mut names = FunctionNames::default();
    let reader = NameSectionReader::new(BinaryReader::new(section, 0));
    for part in reader.flatten() {
        if let Name::Function(map) = part {
            for naming in map.into_iter().flatten() {
                names.add(naming.index, naming.name.as_bytes());
            }
        }
    }
    names
}

/// A headless build has no parser: its names are those it is given.
#[cfg(not(feature = "cranelift"))]
pub(crate) fn section(_bytecode: &[u8]) -> &[u8] {
    &[]
}

#[cfg(not(feature = "cranelift"))]
fn parse(_section: &[u8]) -> FunctionNames {
    FunctionNames::default()
}
