//! Types and templates' arguments.

use super::tables::{BUILTINS, EXTENDED};
use super::{Parser, Piece, Repeated};

impl Parser<'_> {
    pub(super) fn template_arguments(&mut self) -> Option<String> {
        let names_function = std::mem::replace(&mut self.names_function, false);
        let pieces = self.nested(Self::argument_list)?;
        self.names_function = names_function;
        let mut list = String::new();
        for piece in &pieces {
            let piece = self.copy(piece)?;
            self.append(&mut list, piece)?;
        }
        if names_function {
            self.arguments = pieces;
        }
        let space = if list.ends_with('>') { " " } else { "" };
        Some(format!("<{list}{space}>"))
    }

    fn argument_list(&mut self) -> Option<Vec<Piece>> {
        // `I` or, for a pack, `J`.
        self.skip(1)?;
        let mut pieces = Vec::new();
        while !self.take(b'E') {
            self.work.step()?;
            pieces.push(match self.peek() {
                b'L' => self.literal()?,
                b'X' => self.expression()?,
                b'I' | b'J' => Piece {
                    pack: Some(self.nested(Self::argument_list)?),
                    ..Piece::default()
                },
                _ => self.ty()?,
            });
        }
        Some(pieces)
    }

    /// The plainest ones: a parameter, a literal, the address of a function.
    fn expression(&mut self) -> Option<Piece> {
        self.expect(b'X')?;
        let piece = match (self.peek(), self.second()) {
            (b'T', _) => self.template_parameter()?,
            (b'L', _) => self.literal()?,
            (b'a', b'd') => {
                self.skip(2)?;
                Piece::of(format!("&{}", self.literal()?.join()))
            }
            _ => return None,
        };
        self.expect(b'E')?;
        Some(piece)
    }

    fn literal(&mut self) -> Option<Piece> {
        self.expect(b'L')?;
        if self.peek() == b'_' && self.second() == b'Z' {
            self.skip(2)?;
            let names_function = self.names_function;
            let name = self.encoding(true)?;
            self.names_function = names_function;
            self.expect(b'E')?;
            return Some(name);
        }
        let kind = self.peek();
        let ty = self.ty()?.join();
        let sign = if self.take(b'n') { "-" } else { "" };
        let number = self.digits()?.to_owned();
        self.expect(b'E')?;
        Some(Piece::of(match (kind, number.as_str()) {
            (b'b', "0") => "false".into(),
            (b'b', "1") => "true".into(),
            (_, "") => return None,
            (b'i', _) => format!("{sign}{number}"),
            (b'j', _) => format!("{number}u"),
            (b'l', _) => format!("{sign}{number}l"),
            (b'm', _) => format!("{number}ul"),
            (b'x', _) => format!("{sign}{number}ll"),
            (b'y', _) => format!("{number}ull"),
            _ => format!("({ty}){sign}{number}"),
        }))
    }

    pub(super) fn cv_qualifiers(&mut self) -> String {
        let mut text = String::new();
        for (byte, word) in [(b'r', " __restrict"), (b'V', " volatile"), (b'K', " const")] {
            if self.take(byte) {
                text.insert_str(0, word);
            }
        }
        text
    }

    pub(super) fn ty(&mut self) -> Option<Piece> {
        let names_function = std::mem::replace(&mut self.names_function, false);
        let piece = self.nested(Self::any_type)?;
        self.names_function = names_function;
        Some(piece)
    }

    fn any_type(&mut self) -> Option<Piece> {
        let byte = self.peek();
        if let Some(builtin) = BUILTINS.iter().find(|it| it.0 == byte) {
            self.skip(1)?;
            return Some(Piece::of(builtin.1));
        }
        let piece = match (byte, self.second()) {
            (b'r' | b'V' | b'K', _) => {
                let qualifiers = self.cv_qualifiers();
                let mut piece = self.ty()?;
                if piece.compound && piece.right.starts_with('(') {
                    piece.right.push_str(&qualifiers);
                } else {
                    piece.left.push_str(&qualifiers);
                }
                piece
            }
            (b'P', _) => self.pointer("*")?,
            (b'R', _) => self.pointer("&")?,
            (b'O', _) => self.pointer("&&")?,
            (b'F', _) => self.function_type()?,
            (b'A', _) => {
                self.skip(1)?;
                let size = self.digits()?.to_owned();
                self.expect(b'_')?;
                let element = self.ty()?;
                Piece {
                    left: element.left,
                    right: format!(" [{size}]{}", element.right.trim_start()),
                    compound: true,
                    ..Piece::default()
                }
            }
            (b'M', _) => {
                self.skip(1)?;
                let class = self.ty()?.join();
                let member = self.ty()?;
                self.point(member, &format!("{class}::*"), " ")?
            }
            (b'T', b's' | b'u' | b'e') => {
                self.skip(2)?;
                self.class()?
            }
            (b'T', _) => {
                let parameter = self.template_parameter()?;
                if self.peek() != b'I' {
                    parameter
                } else {
                    self.remember(&parameter)?;
                    let arguments = self.template_arguments()?;
                    Piece::of(parameter.join() + &arguments)
                }
            }
            (b'S', b't') => self.class()?,
            (b'S', _) => {
                let piece = self.substitution(&mut String::new())?;
                if self.peek() != b'I' {
                    return Some(piece);
                }
                let arguments = self.template_arguments()?;
                Piece::of(piece.join() + &arguments)
            }
            (b'D', b'p') => {
                self.skip(2)?;
                return self.expansion();
            }
            (b'D', b'o') => {
                // `noexcept`, which is not shown.
                self.skip(2)?;
                self.function_type()?
            }
            (b'D', second) => {
                let builtin = EXTENDED.iter().find(|it| it.0 == second)?;
                self.skip(2)?;
                return Some(Piece::of(builtin.1));
            }
            (b'u', _) => {
                self.skip(1)?;
                Piece::of(self.identifier()?)
            }
            (b'N' | b'Z' | b'0'..=b'9', _) => self.class()?,
            _ => return None,
        };
        self.remember(&piece)?;
        Some(piece)
    }

    fn class(&mut self) -> Option<Piece> {
        Some(Piece::of(self.name()?.text))
    }

    fn pointer(&mut self, mark: &str) -> Option<Piece> {
        self.skip(1)?;
        let to = self.ty()?;
        self.point(to, mark, "")
    }

    /// A type that refers to another.
    fn point(&mut self, to: Piece, mark: &str, space: &str) -> Option<Piece> {
        self.work.write(mark.len())?;
        if to.pack.is_some() {
            return None;
        }
        if to.compound {
            let space = if to.left.ends_with(' ') { "" } else { " " };
            return Some(Piece {
                left: format!("{}{space}({mark}", to.left),
                right: format!("){}", to.right),
                ..Piece::default()
            });
        }
        // A reference to a reference is what the outer of the two says.
        let left = match mark {
            "&" => to.left.trim_end_matches('&'),
            "&&" if to.left.ends_with('&') => return Some(to),
            _ => &to.left,
        };
        Some(Piece {
            left: format!("{left}{space}{mark}"),
            right: to.right,
            ..Piece::default()
        })
    }

    fn function_type(&mut self) -> Option<Piece> {
        self.expect(b'F')?;
        self.take(b'Y');
        let result = self.ty()?;
        let parameters = self.parameters()?;
        let reference = match self.peek() {
            b'R' => " &",
            b'O' => " &&",
            _ => "",
        };
        if !reference.is_empty() {
            self.skip(1)?;
        }
        self.expect(b'E')?;
        Some(Piece {
            left: result.left + " ",
            right: format!("({parameters}){reference}{}", result.right),
            compound: true,
            ..Piece::default()
        })
    }

    pub(super) fn template_parameter(&mut self) -> Option<Piece> {
        self.expect(b'T')?;
        let index = self.index(10)?;
        if self.in_lambda {
            return Some(Piece::of("auto"));
        }
        let arguments = std::mem::take(&mut self.arguments);
        let piece = self.argument(arguments.get(index));
        self.arguments = arguments;
        piece
    }

    /// A template's argument; of a pack, the one that is to be had.
    fn argument(&mut self, argument: Option<&Piece>) -> Option<Piece> {
        let argument = argument?;
        let (Some(types), Some(repeated)) = (&argument.pack, &mut self.pack) else {
            return self.copy(argument);
        };
        if repeated.types.is_some_and(|it| it != types.len()) {
            return None;
        }
        repeated.types = Some(types.len());
        // A pattern is read once even for no type at all.
        match types.get(repeated.index) {
            Some(ty) => self.copy(ty),
            None => Some(Piece::default()),
        }
    }

    /// The pattern that follows, once for each type of its packs.
    fn expansion(&mut self) -> Option<Piece> {
        if self.pack.is_some() {
            return None;
        }
        let pattern = self.rest;
        let mut pieces = Vec::new();
        let mut index = 0;
        loop {
            self.rest = pattern;
            let known = self.substitutions.len();
            self.pack = Some(Repeated { index, types: None });
            let piece = self.ty()?;
            let types = self.pack.take()?.types;
            if index > 0 {
                self.substitutions.truncate(known);
            }
            let Some(types) = types else {
                // A pack of the lambda's own.
                return Some(Piece::of(piece.join() + "..."));
            };
            if types > 0 {
                pieces.push(piece);
            }
            index += 1;
            if index >= types {
                break;
            }
        }
        Some(Piece {
            pack: Some(pieces),
            ..Piece::default()
        })
    }
}
