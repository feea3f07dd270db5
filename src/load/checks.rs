//! The compiler middleware that plants the interrupt checks (see `interrupt`).
//!
//! A check stands at each loop head, at the entry of each function that calls others or is
//! long, after each call that may be of a host function, before each operator whose work has
//! no bound, and wherever [`MAX_WORK`] may have been done since the last one.

use std::fmt;
use std::sync::OnceLock;

use wasmer::sys::wasmparser::{BlockType, Catch, Operator};
use wasmer::sys::{FunctionMiddleware, MiddlewareError, MiddlewareReaderState, ModuleMiddleware};
use wasmer_types::entity::{EntityRef, PrimaryMap};
use wasmer_types::{GlobalInit, GlobalType, LocalFunctionIndex, ModuleInfo, Mutability, Type};

use crate::load::flags::FLAGS;
use crate::load::reduced;

/// Plants the checks into one module.
pub(crate) struct InterruptChecks {
    survey: Survey,
    globals: OnceLock<Globals>,
}

/// What has to be known of all functions before the first is compiled.
pub(crate) struct Survey {
    /// Per local function: whether it calls others or is long. What is neither is bounded
    /// by its loops, so its entry needs no check: it counts as work of its callers.
    checked_entry: Vec<bool>,
    /// Whether any has references: see [`reduced::is_reference`].
    references: bool,
}

impl Survey {
    /// Of a module without functions.
    pub(crate) const fn new() -> Self {
        Self {
            checked_entry: Vec::new(),
            references: false,
        }
    }

    /// Adds the next function.
    pub(crate) fn add(&mut self, operators: u64, calls: bool, references: bool) {
        self.checked_entry
            .push(calls || operators > MAX_LEAF.into());
        self.references |= references;
    }
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
    /// How many functions are imported: the first ones.
    imports: u32,
    /// An imported function may be called by reference.
    imports_by_reference: bool,
}

/// How much may be done between two checks, in operators: well below a millisecond, even of
/// divisions.
const MAX_WORK: u32 = 30_000;

/// The operators of a function whose entry needs no check, at most. What a call counts as.
const MAX_LEAF: u32 = 300;

impl InterruptChecks {
    pub(crate) const fn new(survey: Survey) -> Self {
        Self {
            survey,
            globals: OnceLock::new(),
        }
    }
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

/// Operators whose work depends on their operands, or on the depth of the stack.
pub(crate) fn is_unbounded(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::MemoryCopy { .. }
            | Operator::MemoryFill { .. }
            | Operator::MemoryGrow { .. }
            | Operator::MemoryInit { .. }
            | Operator::TableCopy { .. }
            | Operator::TableFill { .. }
            | Operator::TableGrow { .. }
            | Operator::TableInit { .. }
            | Operator::Throw { .. }
            | Operator::ThrowRef
    )
}

/// Whether a table or a reference can hold an imported function.
fn imports_by_reference(info: &ModuleInfo) -> bool {
    let active = info.table_initializers.iter().map(|it| &it.elements);
    let mut elements = active.chain(info.passive_elements.values());
    elements.any(|it| it.iter().any(|it| it.index() < info.num_imported_functions))
}

impl fmt::Debug for InterruptChecks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InterruptChecks")
            .field("globals", &self.globals)
            .finish_non_exhaustive()
    }
}

impl ModuleMiddleware for InterruptChecks {
    fn transform_module_info(&self, info: &mut ModuleInfo) -> Result<(), MiddlewareError> {
        // Debug sections and names would be copied into every precompiled module and
        // parsed whenever it is loaded; `names` keeps what backtraces need.
        info.custom_sections.clear();
        info.custom_sections_data = PrimaryMap::new();
        info.function_names.clear();
        // Each frame of a backtrace would have a copy.
        info.name = None;
        if !self.survey.references {
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
            imports: u32::try_from(info.num_imported_functions).unwrap_or(u32::MAX),
            imports_by_reference: self.survey.references || imports_by_reference(info),
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
            check_next: self
                .survey
                .checked_entry
                .get(function.index())
                .copied()
                .unwrap_or(true),
            loops: 0,
            work: 0,
            labels: vec![Label::default()],
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
    /// What may have been done since the last check, on any way to here.
    work: u32,
    /// Of the blocks around, the function's own first.
    labels: Vec<Label>,
}

/// A block that has begun.
#[derive(Debug, Default)]
struct Label {
    /// The work at its beginning, from where an `else` goes on.
    begin: u32,
    /// The most work with which something branches to its end.
    carried: u32,
}

impl FunctionChecks {
    /// A flag of its own shows a change. Where only work was done since the last check, there
    /// was nothing to make the compiler read that flag again, so that it needs the fence.
    fn plant(&mut self, state: &mut MiddlewareReaderState<'_>, with_fence: bool) {
        const LAST: u32 = FLAGS - 1;
        let flag = if with_fence {
            LAST
        } else {
            self.loops.min(LAST)
        };
        state.extend([
            Operator::GlobalGet {
                global_index: self.globals.first_flag + flag,
            },
            Operator::If {
                blockty: BlockType::Empty,
            },
            Operator::Unreachable,
            Operator::End,
        ]);
        if flag == LAST {
            state.extend([
                Operator::I32Const { value: 0 },
                Operator::GlobalSet {
                    global_index: self.globals.fence,
                },
            ]);
        }
        self.work = 0;
    }

    /// Something branches outwards by this many blocks, having done this much.
    fn carry(&mut self, depth: u32, work: u32) {
        let label = usize::try_from(depth)
            .ok()
            .and_then(|it| self.labels.iter_mut().nth_back(it));
        if let Some(label) = label {
            label.carried = label.carried.max(work);
        }
    }

    /// Follows the ways that lead from this operator.
    fn follow(&mut self, operator: &Operator<'_>) {
        let work = self.work;
        match operator {
            Operator::Block { .. } | Operator::Loop { .. } => self.enter(0),
            // It may be skipped.
            Operator::If { .. } => self.enter(work),
            Operator::TryTable { try_table } => {
                // Whatever it did until it threw.
                for catch in &try_table.catches {
                    let (Catch::One { label, .. }
                    | Catch::OneRef { label, .. }
                    | Catch::All { label }
                    | Catch::AllRef { label }) = catch;
                    self.carry(*label, MAX_WORK);
                }
                self.enter(0);
            }
            Operator::Else => {
                if let Some(label) = self.labels.last_mut() {
                    label.carried = label.carried.max(work);
                    self.work = label.begin;
                }
            }
            Operator::End => {
                let label = self.labels.pop().unwrap_or_default();
                self.work = work.max(label.carried);
            }
            Operator::Br { relative_depth } | Operator::BrIf { relative_depth } => {
                self.carry(*relative_depth, work);
            }
            Operator::BrTable { targets } => {
                self.carry(targets.default(), work);
                for target in targets.targets().flatten() {
                    self.carry(target, work);
                }
            }
            _ => {}
        }
    }

    fn enter(&mut self, carried: u32) {
        self.labels.push(Label {
            begin: self.work,
            carried,
        });
    }
}

impl<'a> FunctionMiddleware<'a> for FunctionChecks {
    fn feed(
        &mut self,
        operator: Operator<'a>,
        state: &mut MiddlewareReaderState<'a>,
    ) -> Result<(), MiddlewareError> {
        let is_worked_out = self.work >= MAX_WORK;
        if self.check_next || is_worked_out || is_unbounded(&operator) {
            self.plant(state, is_worked_out);
        }
        let is_loop = matches!(operator, Operator::Loop { .. });
        let may_call_host = match operator {
            Operator::Call { function_index } => function_index < self.globals.imports,
            _ => is_call(&operator) && self.globals.imports_by_reference,
        };
        let cost = if is_call(&operator) { MAX_LEAF } else { 1 };
        self.work = self.work.saturating_add(cost);
        self.follow(&operator);
        self.check_next = is_loop || may_call_host;
        self.loops += u32::from(is_loop);
        state.push_operator(operator);
        Ok(())
    }
}
