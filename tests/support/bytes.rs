//! Modules of which the text would be too long: the binary format, written out.

/// What is in a module. Each value is an i32.
#[derive(Default)]
pub(crate) struct Bytes {
    /// How many parameters and results each type has.
    pub(crate) types: Vec<(usize, usize)>,
    /// How many imports there are, of type 0.
    pub(crate) imports: usize,
    /// The type of each function, how many locals it has, and its code.
    pub(crate) functions: Vec<(usize, usize, Vec<u8>)>,
    pub(crate) has_memory: bool,
}

pub(crate) fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).expect("seven bits");
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    [&leb128(bytes.len()), bytes].concat()
}

fn section(id: u8, items: &[Vec<u8>]) -> Vec<u8> {
    let body = [leb128(items.len()), items.concat()].concat();
    [vec![id], sized(&body)].concat()
}

impl Bytes {
    pub(crate) fn write(&self) -> Vec<u8> {
        let values = |count: usize| [leb128(count), vec![0x7f; count]].concat();
        let types = self.types.iter();
        let types = types.map(|it| [vec![0x60], values(it.0), values(it.1)].concat());
        let types: Vec<_> = types.collect();
        let imports = vec![vec![0; 4]; self.imports];
        let functions: Vec<_> = self.functions.iter().map(|it| leb128(it.0)).collect();
        let bodies = self.functions.iter().map(|(_, locals, code)| {
            let locals = match locals {
                0 => vec![0],
                count => [vec![1], leb128(*count), vec![0x7f]].concat(),
            };
            sized(&[&locals[..], code, &[END]].concat())
        });
        let bodies: Vec<_> = bodies.collect();
        let memories = vec![vec![0, 1]; usize::from(self.has_memory)];
        [
            b"\0asm\x01\0\0\0".to_vec(),
            section(1, &types),
            section(2, &imports),
            section(3, &functions),
            section(5, &memories),
            section(10, &bodies),
        ]
        .concat()
    }
}

pub(crate) const END: u8 = 0x0b;
