//! The compiler middleware that plants the interrupt checks (see `interrupt`).

use std::fmt;
use std::sync::OnceLock;

use wasmer::sys::wasmparser::{BinaryReaderError, BlockType, Operator, Parser, Payload};
use wasmer::sys::{FunctionMiddleware, MiddlewareError, MiddlewareReaderState, ModuleMiddleware};
use wasmer_types::entity::{EntityRef, PrimaryMap};
use wasmer_types::{
    GlobalInit, GlobalType, LocalFunctionIndex, ModuleInfo, Mutability, SignatureIndex, Type,
};

use crate::load::flags::FLAGS;
use crate::load::reduced;

/// Plants the checks into one module.
pub(crate) struct InterruptChecks {
    /// Per local function: whether it calls others. One that does not is bounded by
    /// its loops, so its entry needs no check.
    calls: Vec<bool>,
    /// See [`reduced::is_reference`].
    references: bool,
    globals: OnceLock<Globals>,
}

#[derive(Clone, Copy, Debug)]
struct Globals {
    /// The first flag. The compiler may take a flag that it has read before for
    /// unchanged if nothing was stored in between, so that a loop inside another, or
    /// after it, would never see a change. Hence each check in a function reads a flag
    /// of its own ...
    first_flag: u32,
    /// ... and those for which there are too few share the last one, and store to
    /// this global, which costs more.
    fence: u32,
}

impl InterruptChecks {
    pub(crate) fn new(bytecode: &[u8]) -> Self {
        let (calls, references) = scan(bytecode);
        Self {
            calls,
            references,
            globals: OnceLock::new(),
        }
    }
}

/// Per function, whether it calls others; and whether any has references. Malformed
/// bytecode is the validator's business; what cannot be read is taken to do both.
fn scan(bytecode: &[u8]) -> (Vec<bool>, bool) {
    let mut calls = Vec::new();
    let mut references = false;
    for payload in Parser::new(0).parse_all(bytecode) {
        match payload {
            Ok(Payload::CodeSectionEntry(body)) => {
                let mut this_calls = false;
                let mut read = || -> Result<(), BinaryReaderError> {
                    for operator in body.get_operators_reader()? {
                        let operator = operator?;
                        this_calls |= is_call(&operator);
                        references |= reduced::is_reference(&operator);
                    }
                    Ok(())
                };
                if read().is_err() {
                    (this_calls, references) = (true, true);
                }
                calls.push(this_calls);
            }
            Ok(_) => {}
            Err(_) => return (calls, true),
        }
    }
    (calls, references)
}

fn is_call(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::Call { .. }
            | Operator::CallIndirect { .. }
            | Operator::CallRef { .. }
            | Operator::ReturnCall { .. }
            | Operator::ReturnCallIndirect { .. }
            | Operator::ReturnCallRef { .. }
    )
}

impl fmt::Debug for InterruptChecks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InterruptChecks")
            .field("globals", &self.globals)
            .finish_non_exhaustive()
    }
}

/// Function tables of fixed size lie in the instance, which compiled code addresses with
/// 32 bits.
fn check_tables(info: &ModuleInfo) -> Result<(), MiddlewareError> {
    const MAX: u64 = 1 << 26;
    let fixed = info
        .tables
        .values()
        .filter(|it| it.is_fixed_funcref_table());
    let elements: u64 = fixed.map(|it| u64::from(it.minimum)).sum();
    if elements > MAX {
        let message = format!("function tables of {elements} elements, more than {MAX}");
        return Err(MiddlewareError::new("limits", message));
    }
    Ok(())
}

/// Every VM has a copy of each tag's type, and every exception has its parameters.
fn check_tags(info: &ModuleInfo) -> Result<(), MiddlewareError> {
    const MAX: usize = 1000;
    const MAX_PARAMETERS: usize = 16;
    let parameters = |it: &SignatureIndex| info.signatures[*it].params().len();
    if info.tags.len() > MAX || info.tags.values().any(|it| parameters(it) > MAX_PARAMETERS) {
        let message = format!("more than {MAX} tags, or one of more than {MAX_PARAMETERS} values");
        return Err(MiddlewareError::new("limits", message));
    }
    Ok(())
}

impl ModuleMiddleware for InterruptChecks {
    fn transform_module_info(&self, info: &mut ModuleInfo) -> Result<(), MiddlewareError> {
        check_tables(info)?;
        check_tags(info)?;
        // Debug sections and names would be copied into every precompiled module and
        // parsed whenever it is loaded; `names` keeps what backtraces need.
        info.custom_sections.clear();
        info.custom_sections_data = PrimaryMap::new();
        info.function_names.clear();
        // Each frame of a backtrace would have a copy.
        info.name = None;
        if !self.references {
            reduced::mark(info);
        }

        // `flags_index` counts on these, in this order, at the end.
        let mut add = || {
            let index = info
                .globals
                .push(GlobalType::new(Type::I32, Mutability::Var));
            info.global_initializers.push(GlobalInit::I32Const(0));
            index.as_u32()
        };
        let first_flag = add();
        for _ in 1..FLAGS {
            add();
        }
        let globals = Globals {
            first_flag,
            fence: add(),
        };
        self.globals
            .set(globals)
            .map_err(|_| MiddlewareError::new("InterruptChecks", "used for a second module"))
    }

    fn generate_function_middleware<'a>(
        &self,
        function: LocalFunctionIndex,
    ) -> Box<dyn FunctionMiddleware<'a> + 'a> {
        Box::new(FunctionChecks {
            globals: *self
                .globals
                .get()
                .expect("transform_module_info comes first"),
            check_next: self.calls.get(function.index()).copied().unwrap_or(true),
            loops: 0,
        })
    }
}

#[derive(Debug)]
struct FunctionChecks {
    globals: Globals,
    /// Put a check before the next operator.
    check_next: bool,
    /// How many loops have begun.
    loops: u32,
}

impl<'a> FunctionMiddleware<'a> for FunctionChecks {
    fn feed(
        &mut self,
        operator: Operator<'a>,
        state: &mut MiddlewareReaderState<'a>,
    ) -> Result<(), MiddlewareError> {
        if self.check_next {
            const LAST: u32 = FLAGS - 1;
            state.extend([
                Operator::GlobalGet {
                    global_index: self.globals.first_flag + self.loops.min(LAST),
                },
                Operator::If {
                    blockty: BlockType::Empty,
                },
                Operator::Unreachable,
                Operator::End,
            ]);
            if self.loops >= LAST {
                state.extend([
                    Operator::I32Const { value: 0 },
                    Operator::GlobalSet {
                        global_index: self.globals.fence,
                    },
                ]);
            }
        }
        self.check_next = matches!(operator, Operator::Loop { .. });
        self.loops += u32::from(self.check_next);
        state.push_operator(operator);
        Ok(())
    }
}
