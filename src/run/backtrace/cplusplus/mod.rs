//! C++'s mangled names made readable, as far as that can be done in bounded time.
//!
//! Names come from plugins. The grammar of the Itanium ABI is ambiguous where expressions
//! stand, and a parser that tries one meaning after the other takes time without bound on
//! names of 200 bytes. This one looks at most two bytes ahead and never goes back, but to
//! repeat a pattern for each type of a pack; each step, and each byte that is copied, is
//! paid for out of [`Work`]. What it does not know, expressions above all, stays mangled.

mod names;
mod tables;
mod types;

use super::work::Work;
use names::Name;

/// Deeper names stay mangled.
const MAX_DEPTH: u32 = 64;

/// The name as its author wrote it; `None` if it is not one of C++, or not known here, or
/// dearer than the work that is left.
pub(super) fn demangle(name: &str, work: &mut Work) -> Option<String> {
    let mangled = name.strip_prefix("_Z")?;
    let mut parser = Parser {
        rest: mangled.as_bytes(),
        work: &mut *work,
        depth: 0,
        substitutions: Vec::new(),
        arguments: Vec::new(),
        names_function: true,
        in_lambda: false,
        pack: None,
    };
    let mut text = parser.encoding(true)?.join();
    let rest = parser.rest;
    if !rest.is_empty() {
        // What a compiler has appended for a copy of its own.
        let suffix = mangled.get(mangled.len() - rest.len()..)?;
        if !suffix.starts_with('.') {
            return None;
        }
        text = format!("{text} [clone {suffix}]");
    }
    work.write(text.len())?;
    Some(text)
}

/// A name or a type. A declarator stands between the two parts of a type.
#[derive(Clone, Default)]
struct Piece {
    left: String,
    right: String,
    /// A function or an array, so a pointer to it needs parentheses.
    compound: bool,
    /// The types of a template's pack.
    pack: Option<Vec<Piece>>,
    /// It was made for one type of a pack, or for `auto`: elsewhere it is another.
    varies: bool,
}

impl Piece {
    fn of(text: impl Into<String>) -> Self {
        Self {
            left: text.into(),
            ..Self::default()
        }
    }

    fn join(self) -> String {
        self.left + &self.right
    }

    fn len(&self) -> usize {
        let pack = self.pack.iter().flatten();
        self.left.len() + self.right.len() + pack.map(Self::len).sum::<usize>()
    }
}

/// A pattern that is repeated for each type of a pack.
#[derive(Clone, Copy)]
struct Repeated {
    index: usize,
    /// How many types the packs in the pattern have.
    types: Option<usize>,
}

struct Parser<'a> {
    rest: &'a [u8],
    work: &'a mut Work,
    depth: u32,
    substitutions: Vec<Piece>,
    /// Of the function's template.
    arguments: Vec<Piece>,
    /// The function's own name is being read, and not one within it.
    names_function: bool,
    /// Template parameters in a lambda's own parameters are `auto`.
    in_lambda: bool,
    pack: Option<Repeated>,
}

impl Parser<'_> {
    fn peek(&self) -> u8 {
        self.rest.first().copied().unwrap_or(0)
    }

    fn second(&self) -> u8 {
        self.rest.get(1).copied().unwrap_or(0)
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.rest = self.rest.get(count..)?;
        Some(())
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte;
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.take(byte).then_some(())
    }

    /// One level deeper.
    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        self.work.step()?;
        if self.depth == MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        let result = parse(self);
        self.depth -= 1;
        result
    }

    fn copy(&mut self, piece: &Piece) -> Option<Piece> {
        self.work.write(piece.len())?;
        Some(piece.clone())
    }

    fn remember(&mut self, piece: &Piece) -> Option<()> {
        let mut piece = self.copy(piece)?;
        let in_pack = self.pack.is_some_and(|it| it.types.is_some());
        piece.varies = in_pack || self.in_lambda && piece.left.contains("auto");
        self.substitutions.push(piece);
        Some(())
    }

    /// Digits, of which there may be none.
    fn digits(&mut self) -> Option<&str> {
        let count = self
            .rest
            .iter()
            .take_while(|it| it.is_ascii_digit())
            .count();
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        std::str::from_utf8(digits).ok()
    }

    /// `_` is 0, `0_` is 1, and so on.
    fn index(&mut self, base: u32) -> Option<usize> {
        let mut index = 0_usize;
        let mut any = false;
        while !self.take(b'_') {
            let digit = char::from(self.peek());
            if digit.is_ascii_lowercase() {
                return None;
            }
            let digit = digit.to_digit(base)?;
            self.skip(1)?;
            index = index
                .checked_mul(base as usize)?
                .checked_add(digit as usize)?;
            any = true;
        }
        index.checked_add(usize::from(any))
    }

    /// A function or something special; without the function's result for what is in it.
    fn encoding(&mut self, with_result: bool) -> Option<Piece> {
        self.nested(|it| match (it.peek(), it.second()) {
            (b'T', _) => it.special(),
            (b'G', b'V') => {
                it.skip(2)?;
                let name = it.name()?;
                Some(Piece::of(format!("guard variable for {}", name.text)))
            }
            _ => it.function(with_result),
        })
    }

    fn special(&mut self) -> Option<Piece> {
        let kind = self.second();
        self.skip(2)?;
        let (what, of) = match kind {
            b'V' => ("vtable", self.ty()?),
            b'T' => ("VTT", self.ty()?),
            b'I' => ("typeinfo", self.ty()?),
            b'S' => ("typeinfo name", self.ty()?),
            b'W' => ("thread-local wrapper routine", Piece::of(self.name()?.text)),
            b'H' => (
                "thread-local initialization routine",
                Piece::of(self.name()?.text),
            ),
            b'h' | b'v' => {
                self.call_offset(kind)?;
                let what = match kind {
                    b'h' => "non-virtual thunk to ",
                    _ => "virtual thunk to ",
                };
                return Some(Piece::of(what.to_owned() + &self.encoding(true)?.join()));
            }
            b'c' => {
                for _ in 0..2 {
                    let kind = self.peek();
                    self.skip(1)?;
                    self.call_offset(kind)?;
                }
                let of = self.encoding(true)?.join();
                return Some(Piece::of(format!("covariant return thunk to {of}")));
            }
            _ => return None,
        };
        Some(Piece::of(format!("{what} for {}", of.join())))
    }

    fn call_offset(&mut self, kind: u8) -> Option<()> {
        for _ in 0..if kind == b'v' { 2 } else { 1 } {
            self.take(b'n');
            self.digits()?;
            self.expect(b'_')?;
        }
        Some(())
    }

    /// A function with its parameters, or a variable.
    fn function(&mut self, with_result: bool) -> Option<Piece> {
        self.names_function = true;
        let name = self.name()?;
        self.names_function = false;
        if matches!(self.peek(), 0 | b'E' | b'.') {
            return Some(Piece::of(name.text));
        }
        let mut result = Piece::default();
        if name.is_template && !name.no_result {
            result = self.ty()?;
            if !result.compound {
                result.left.push(' ');
            }
        }
        if !with_result {
            result = Piece::default();
        }
        let parameters = self.parameters()?;
        let Name {
            text, qualifiers, ..
        } = name;
        self.work
            .write(result.len() + text.len() + parameters.len())?;
        Some(Piece::of(format!(
            "{}{text}({parameters}){qualifiers}{}",
            result.left, result.right
        )))
    }

    /// Types up to the end, with commas.
    fn parameters(&mut self) -> Option<String> {
        let mut list = String::new();
        if self.take(b'v') {
            return Some(list);
        }
        let is_end = |it: &Self| match it.peek() {
            0 | b'E' | b'.' => true,
            b'R' | b'O' => it.second() == b'E',
            _ => false,
        };
        while !is_end(self) {
            let ty = self.ty()?;
            self.append(&mut list, ty)?;
        }
        Some(list)
    }

    /// A further element of a list; a pack is as many as it has types.
    fn append(&mut self, list: &mut String, piece: Piece) -> Option<()> {
        if let Some(pack) = piece.pack {
            for piece in pack {
                self.append(list, piece)?;
            }
            return Some(());
        }
        let text = piece.join();
        self.work.write(text.len())?;
        if !list.is_empty() {
            list.push_str(", ");
        }
        list.push_str(&text);
        Some(())
    }
}
