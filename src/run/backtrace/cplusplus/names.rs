//! Names: of functions, of what is within them, of classes.

use super::tables::{ABBREVIATIONS, OPERATORS};
use super::{Parser, Piece};

/// A function's or variable's name.
#[derive(Default)]
pub(super) struct Name {
    pub(super) text: String,
    /// The last part, without its template's arguments, for constructors.
    last: String,
    /// Its template's arguments end it.
    pub(super) is_template: bool,
    /// A constructor, a destructor or a conversion: its type has no result.
    pub(super) no_result: bool,
    /// What qualifies `this`.
    pub(super) qualifiers: String,
}

impl Parser<'_> {
    pub(super) fn name(&mut self) -> Option<Name> {
        self.nested(|it| match it.peek() {
            b'N' => it.nested_name(),
            b'Z' => it.local_name(),
            _ => it.unscoped_name(),
        })
    }

    fn unscoped_name(&mut self) -> Option<Name> {
        let mut name = Name::default();
        if self.peek() == b'S' && self.second() != b't' {
            let piece = self.substitution(&mut name.last)?;
            name.text = piece.join();
            if self.peek() != b'I' {
                return None;
            }
        } else {
            if self.peek() == b'S' {
                self.skip(2)?;
                name.text.push_str("std::");
            }
            self.unqualified(&mut name)?;
            if self.peek() == b'I' {
                self.remember(&Piece::of(name.text.as_str()))?;
            }
        }
        if self.peek() == b'I' {
            let arguments = self.template_arguments()?;
            name.text.push_str(&arguments);
            name.is_template = true;
        }
        Some(name)
    }

    fn nested_name(&mut self) -> Option<Name> {
        self.expect(b'N')?;
        let mut name = Name {
            qualifiers: self.cv_qualifiers(),
            ..Name::default()
        };
        if self.take(b'R') {
            name.qualifiers.push_str(" &");
        } else if self.take(b'O') {
            name.qualifiers.push_str(" &&");
        }
        let mut first = true;
        while !self.take(b'E') {
            self.work.step()?;
            name.is_template = false;
            // What a substitution or `std` stands for is not remembered again.
            let mut is_new = true;
            match (self.peek(), self.second()) {
                (b'S', b't') if first => {
                    self.skip(2)?;
                    name.text.push_str("std");
                    is_new = false;
                }
                (b'S', _) if first => {
                    let piece = self.substitution(&mut name.last)?;
                    name.text = piece.join();
                    is_new = false;
                }
                (b'T', _) if first => name.text = self.template_parameter()?.join(),
                (b'I', _) if !first => {
                    let arguments = self.template_arguments()?;
                    name.text.push_str(&arguments);
                    name.is_template = true;
                }
                (b'M', _) if !first => {
                    // A lambda in the initializer of what was just named.
                    self.skip(1)?;
                    continue;
                }
                _ => {
                    if !first {
                        name.text.push_str("::");
                    }
                    self.unqualified(&mut name)?;
                }
            }
            first = false;
            self.work.write(name.text.len())?;
            if is_new && self.peek() != b'E' {
                self.remember(&Piece::of(name.text.as_str()))?;
            }
        }
        (!first).then_some(name)
    }

    fn local_name(&mut self) -> Option<Name> {
        self.expect(b'Z')?;
        let names_function = self.names_function;
        let function = self.encoding(false)?.join();
        self.names_function = names_function;
        self.expect(b'E')?;
        if self.take(b's') {
            self.discriminator()?;
            return Some(Name {
                text: function + "::string literal",
                ..Name::default()
            });
        }
        if self.take(b'd') {
            // In a default argument.
            self.digits()?;
            self.expect(b'_')?;
        }
        let mut name = self.name()?;
        self.discriminator()?;
        self.work.write(function.len() + name.text.len())?;
        name.text = format!("{function}::{}", name.text);
        Some(name)
    }

    fn discriminator(&mut self) -> Option<()> {
        if self.peek() == b'_' {
            self.skip(1)?;
            if self.take(b'_') {
                self.digits()?;
                return self.expect(b'_');
            }
            self.skip(1)?;
        }
        Some(())
    }

    /// Appends a part of a name.
    fn unqualified(&mut self, name: &mut Name) -> Option<()> {
        self.take(b'L');
        let part = match (self.peek(), self.second()) {
            (b'0'..=b'9', _) => self.identifier()?,
            (b'C', b'1'..=b'5') | (b'D', b'0'..=b'5') => {
                let tilde = if self.peek() == b'D' { "~" } else { "" };
                self.skip(2)?;
                name.no_result = true;
                if name.last.is_empty() {
                    return None;
                }
                format!("{tilde}{}", name.last)
            }
            (b'C', b'I') => {
                // Inherited from the type that follows.
                self.skip(3)?;
                self.ty()?;
                name.no_result = true;
                name.last.clone()
            }
            (b'U', b'l') => self.lambda()?,
            (b'U', b't') => {
                self.skip(2)?;
                format!("{{unnamed type#{}}}", self.index(10)? + 1)
            }
            (b'c', b'v') => {
                self.skip(2)?;
                name.no_result = true;
                format!("operator {}", self.ty()?.join())
            }
            (b'l', b'i') => {
                self.skip(2)?;
                format!("operator\"\" {}", self.identifier()?)
            }
            (first, second) => {
                let operator = OPERATORS.iter().find(|it| it.0 == [first, second])?;
                self.skip(2)?;
                let space = operator.1.starts_with(|it: char| it.is_ascii_alphabetic());
                format!("operator{}{}", if space { " " } else { "" }, operator.1)
            }
        };
        self.work.write(part.len())?;
        name.text.push_str(&part);
        name.last = part;
        while self.take(b'B') {
            let tag = self.identifier()?;
            name.text.push_str(&format!("[abi:{tag}]"));
        }
        Some(())
    }

    pub(super) fn identifier(&mut self) -> Option<String> {
        let length: usize = self.digits()?.parse().ok()?;
        let text = std::str::from_utf8(self.rest.get(..length)?).ok()?;
        self.work.write(length)?;
        self.rest = &self.rest[length..];
        if text.starts_with("_GLOBAL__N") {
            return Some("(anonymous namespace)".into());
        }
        (length > 0).then(|| text.to_owned())
    }

    fn lambda(&mut self) -> Option<String> {
        self.skip(2)?;
        let outer = std::mem::replace(&mut self.in_lambda, true);
        let parameters = self.parameters();
        self.in_lambda = outer;
        self.expect(b'E')?;
        Some(format!(
            "{{lambda({})#{}}}",
            parameters?,
            self.index(10)? + 1
        ))
    }

    /// `last` is for constructors.
    pub(super) fn substitution(&mut self, last: &mut String) -> Option<Piece> {
        self.expect(b'S')?;
        let byte = self.peek();
        if let Some(known) = ABBREVIATIONS.iter().find(|it| it.0 == byte) {
            self.skip(1)?;
            known.2.clone_into(last);
            return Some(Piece::of(known.1));
        }
        let index = self.index(36)?;
        let substitutions = std::mem::take(&mut self.substitutions);
        let piece = substitutions
            .get(index)
            .filter(|it| !it.varies)
            .and_then(|it| self.copy(it));
        self.substitutions = substitutions;
        let piece = piece?;
        last_part(&piece.left).clone_into(last);
        Some(piece)
    }
}

/// The last part of a name, without its template's arguments.
fn last_part(name: &str) -> &str {
    let mut depth = 0_u32;
    let mut end = name.len();
    for (at, byte) in name.bytes().enumerate().rev() {
        match byte {
            b'>' | b')' | b'}' => depth += 1,
            b'<' | b'(' | b'{' => {
                depth = depth.saturating_sub(1);
                if byte == b'<' && depth == 0 {
                    end = at;
                }
            }
            b':' if depth == 0 => return &name[at + 1..end.max(at + 1)],
            _ => {}
        }
    }
    &name[..end]
}
