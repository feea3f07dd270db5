//! What there is in one function, and what it would cost.

use wasmer::sys::wasmparser::{
    BlockType, Catch, FuncType, FunctionBody, Operator, RefType, ValType,
};

use super::cost::{self, Cost};
use super::operators::{is_library_call, is_long_vector, is_vector};
use super::{check_type, refuse};
use crate::error::Result;
use crate::load::checks::{Survey, is_unbounded};
use crate::load::reduced::is_reference;

/// The module around.
pub(super) struct Context<'a> {
    pub(super) types: &'a [FuncType],
    /// The type of each function.
    pub(super) functions: &'a [u32],
    /// How many of those are imports: the first.
    pub(super) imports: usize,
}

impl Context<'_> {
    /// How many parameters and results a type has. Indexes are right in valid bytecode.
    fn arity(&self, ty: u32) -> [u64; 2] {
        self.types.get(ty as usize).map_or([0; 2], |it| {
            [it.params().len() as u64, it.results().len() as u64]
        })
    }

    fn function(&self, index: u32) -> [u64; 2] {
        self.functions
            .get(index as usize)
            .map_or([0; 2], |it| self.arity(*it))
    }

    fn block(&self, ty: BlockType) -> [u64; 2] {
        match ty {
            BlockType::Empty => [0, 0],
            BlockType::Type(_) => [0, 1],
            BlockType::FuncType(index) => self.arity(index),
        }
    }
}

pub(super) fn count(
    context: &Context<'_>,
    index: usize,
    body: &FunctionBody<'_>,
) -> Result<Counts> {
    let mut locals = 0;
    for declared in body.get_locals_reader()? {
        let (count, ty) = declared?;
        check_type(ty)?;
        locals += u64::from(count);
    }
    let [params, results] = context.function(u32::try_from(index).unwrap_or(u32::MAX));
    let mut walk = Walk {
        context,
        index,
        results,
        labels: vec![Label {
            carries: results,
            is_loop: false,
        }],
        loops: Vec::new(),
        locals: vec![Local::default(); usize::try_from(locals + params).unwrap_or(0)],
        counts: Counts {
            locals,
            values: params + results,
            ..Counts::default()
        },
    };
    for operator in body.get_operators_reader()? {
        walk.follow(&operator?)?;
    }
    Ok(walk.counts)
}

/// Where a branch leads.
struct Label {
    /// The values that it takes with it.
    carries: u64,
    is_loop: bool,
}

/// Which operator used a local last, and which assigned it; 0 if none did.
#[derive(Clone, Copy, Default)]
struct Local {
    used: u64,
    assigned: u64,
}

/// What there is in a function.
#[derive(Default)]
pub(super) struct Counts {
    operators: u64,
    locals: u64,
    /// Parameters and results.
    values: u64,
    returned: u64,
    blocks: u64,
    block_values: u64,
    /// For each loop, how many are around it.
    depths: u64,
    branches: u64,
    branch_values: u64,
    calls: u64,
    call_values: u64,
    library_calls: u64,
    handlers: u64,
    vectors: u64,
    long_vectors: u64,
    references: u64,
    /// Interrupt checks, which are two blocks each.
    checks: u64,
    assignments: u64,
    /// Different locals ...
    used: u64,
    assigned: u64,
    /// ... and how often there is a loop with one.
    used_in_loops: u64,
    assigned_in_loops: u64,
}

struct Walk<'a> {
    context: &'a Context<'a>,
    index: usize,
    results: u64,
    labels: Vec<Label>,
    /// The operators that the loops around begin with.
    loops: Vec<u64>,
    locals: Vec<Local>,
    counts: Counts,
}

impl Walk<'_> {
    fn follow(&mut self, operator: &Operator<'_>) -> Result<()> {
        self.counts.operators += 1;
        match operator {
            Operator::Block { blockty } | Operator::If { blockty } => {
                self.enter(*blockty, false)?;
            }
            Operator::Loop { blockty } => {
                self.enter(*blockty, true)?;
                self.counts.checks += 1;
                self.counts.depths += self.loops.len() as u64;
                self.loops.push(self.counts.operators);
            }
            Operator::TryTable { try_table } => {
                self.enter(try_table.ty, false)?;
                self.counts.handlers += 1 + try_table.catches.len() as u64;
                for catch in &try_table.catches {
                    let (Catch::One { label, .. }
                    | Catch::OneRef { label, .. }
                    | Catch::All { label }
                    | Catch::AllRef { label }) = catch;
                    self.branch(*label, 1);
                }
            }
            Operator::End => {
                if self.labels.pop().is_some_and(|it| it.is_loop) {
                    self.loops.pop();
                }
            }
            Operator::Br { relative_depth } | Operator::BrIf { relative_depth } => {
                self.branch(*relative_depth, 1);
            }
            Operator::BrTable { targets } => {
                // All of them carry the same.
                self.branch(targets.default(), 1 + u64::from(targets.len()));
            }
            Operator::Return => self.counts.returned += self.results,
            Operator::TypedSelect { ty } => check_type(*ty)?,
            Operator::RefNull { hty } => {
                if let Some(ty) = RefType::new(true, *hty) {
                    check_type(ValType::Ref(ty))?;
                }
            }
            Operator::LocalGet { local_index } => self.touch(*local_index, false),
            Operator::LocalSet { local_index } | Operator::LocalTee { local_index } => {
                self.touch(*local_index, true);
            }
            Operator::Call { function_index } => {
                self.call(self.context.function(*function_index));
                self.counts.checks += u64::from((*function_index as usize) < self.context.imports);
            }
            Operator::CallIndirect { type_index, .. } => {
                self.call(self.context.arity(*type_index));
                self.counts.checks += 1;
            }
            Operator::ReturnCall { .. }
            | Operator::ReturnCallIndirect { .. }
            | Operator::ReturnCallRef { .. } => {
                // wasmer's Cranelift does not compile them.
                let index = self.index;
                return Err(refuse(format!(
                    "function {index}: tail calls are not supported"
                )));
            }
            other => self.other(other),
        }
        Ok(())
    }

    fn enter(&mut self, ty: BlockType, is_loop: bool) -> Result<()> {
        if let BlockType::Type(ty) = ty {
            check_type(ty)?;
        }
        let [params, results] = self.context.block(ty);
        self.counts.blocks += 1;
        self.counts.block_values += params + results;
        self.labels.push(Label {
            carries: if is_loop { params } else { results },
            is_loop,
        });
        Ok(())
    }

    fn branch(&mut self, depth: u32, targets: u64) {
        let mut outwards = self.labels.iter().rev();
        let carries = outwards.nth(depth as usize).map_or(0, |it| it.carries);
        self.counts.branches += targets;
        self.counts.branch_values += targets * carries;
    }

    fn call(&mut self, [params, results]: [u64; 2]) {
        self.counts.calls += 1;
        self.counts.call_values += params + results;
    }

    /// Operators that need more than a few instructions. Those of which the work has no bound
    /// are calls too, and checked besides.
    fn other(&mut self, operator: &Operator<'_>) {
        let is_checked = is_unbounded(operator);
        let counts = &mut self.counts;
        counts.checks += u64::from(is_checked);
        counts.references += u64::from(is_reference(operator));
        if is_checked || is_library_call(operator) {
            counts.library_calls += 1;
        } else if is_long_vector(operator) {
            counts.long_vectors += 1;
        } else if is_vector(operator) {
            counts.vectors += 1;
        }
    }

    fn touch(&mut self, index: u32, assigns: bool) {
        let now = self.counts.operators;
        let loops = &self.loops;
        // Those that have begun since it was seen last are the ones that have not seen it.
        let new_to = |seen: u64| (loops.len() - loops.partition_point(|it| *it <= seen)) as u64;
        let Some(local) = self.locals.get_mut(index as usize) else {
            return;
        };
        self.counts.used_in_loops += new_to(local.used);
        self.counts.used += u64::from(local.used == 0);
        local.used = now;
        if assigns {
            self.counts.assigned_in_loops += new_to(local.assigned);
            self.counts.assigned += u64::from(local.assigned == 0);
            self.counts.assignments += 1;
            local.assigned = now;
        }
    }
}

impl Counts {
    pub(super) fn survey(&self, survey: &mut Survey) {
        survey.add(self.operators, self.calls > 0, self.references > 0);
    }

    pub(super) fn cost(&self) -> Cost {
        let blocks = self.blocks + 2 * self.checks;
        let merged = self.assignments.min(blocks * self.assigned);
        let mut cost = Cost::new(self.operators);
        for (count, price, what) in [
            (self.operators, cost::OPERATOR, "operators"),
            (self.locals, cost::LOCAL, "locals"),
            (self.values, cost::FUNCTION_VALUE, "parameters and results"),
            (self.returned, cost::RETURN_VALUE, "returned values"),
            (self.blocks, cost::BLOCK, "blocks"),
            (self.block_values, cost::EDGE_VALUE, "blocks' values"),
            (self.depths, cost::DEPTH, "loops in loops"),
            (self.branches, cost::EDGE, "branches"),
            (self.branch_values, cost::EDGE_VALUE, "branches' values"),
            (self.calls, cost::CALL, "calls"),
            (
                self.call_values,
                cost::CALL_VALUE,
                "calls' arguments and results",
            ),
            (
                self.library_calls,
                cost::LIBRARY_CALL,
                "operators that are calls",
            ),
            (self.handlers, cost::HANDLER, "exception handlers"),
            (self.vectors, cost::VECTOR, "operators on vectors"),
            (self.long_vectors, cost::LONG_VECTOR, "operators on vectors"),
            (self.checks, cost::CHECK, "loops and calls"),
            (
                blocks * self.used,
                cost::LOCAL_IN_BLOCK,
                "locals in so many blocks",
            ),
            (self.used_in_loops, cost::USED_IN_LOOP, "locals in loops"),
            (
                self.assigned_in_loops,
                cost::ASSIGNED_IN_LOOP,
                "locals that loops assign",
            ),
            (
                self.assigned_in_loops
                    .saturating_mul(self.assigned_in_loops),
                cost::ASSIGNED_IN_LOOPS_SQUARED,
                "locals that loops assign",
            ),
            (merged, cost::MERGED, "locals that branches assign"),
            (
                merged * self.assigned,
                cost::MERGED_WITH,
                "locals that branches assign",
            ),
        ] {
            cost.add(count, price, what);
        }
        cost
    }
}
