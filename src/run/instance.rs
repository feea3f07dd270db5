//! Instances: what a VM has once it is linked.
//!
//! This is `wasmer_compiler::Artifact::instantiate`, cut down to modules that import
//! functions only, with our memory and limits, and without what is the same for
//! every VM of a module.

use std::cell::UnsafeCell;
use std::ptr::NonNull;

use wasmer_compiler::ArtifactCreate as _;
use wasmer_types::entity::{EntityRef as _, PrimaryMap};
use wasmer_types::{
    FunctionIndex, FunctionType, MemoryError, ModuleInfo, Pages, SignatureIndex, TableType,
    WASM_PAGE_SIZE,
};
use wasmer_vm::{
    Imports, InstanceAllocator, InternalStoreHandle, MaybeInstanceOwned, StoreObject as _,
    StoreObjects, VMCallerCheckedAnyfunc, VMConfig, VMContext, VMExceptionObj, VMFunction,
    VMFunctionContext, VMFunctionImport, VMFunctionKind, VMGlobal, VMGlobalDefinition, VMInstance,
    VMMemory, VMMemoryDefinition, VMTable, VMTag,
};

use crate::error::{Code, Error, Result};
use crate::load::flags::flags_index;
use crate::load::module::Module;
use crate::options::Options;
use crate::run::arch::HostBinding;
use crate::run::arch::import_stub;
use crate::run::interrupt::{self, FlagGlobal};
use crate::run::libcalls;
use crate::run::memory::GuestMemory;
use crate::run::stack::Callee;
use crate::run::tables::{Elements, element, fill_tables};

/// One instance and the store that holds its memory and tables.
pub(crate) struct Instance {
    // Dropped first: it refers to the store.
    instance: VMInstance,
    /// Boxed because the instance keeps its address.
    store: Box<UnsafeCell<StoreObjects>>,
    /// The store and the instance's tables point here.
    _elements: Elements,
}

impl Instance {
    /// Makes an instance with memory and tables initialised; the start function has
    /// not run.
    ///
    /// # Safety
    /// `bindings` has one for each import, of the import's type. It and `published`,
    /// where the host looks for the memory, stay at their addresses for as long as
    /// the instance lives.
    pub(crate) unsafe fn new(
        module: &Module,
        bindings: &[UnsafeCell<HostBinding>],
        options: &Options,
        published: NonNull<VMMemoryDefinition>,
    ) -> Result<Self> {
        let info = module.info();
        let artifact = module.artifact();
        let page_limit = page_limit(options);
        let table_growth = table_growth(info, options)?;
        let image = module.image()?;

        let mut store = Box::new(UnsafeCell::new(StoreObjects::default()));
        let context = store.get_mut();
        let reduced = module.reduced();
        let mut elements = match reduced {
            Some(_) => Vec::new(),
            None => import_elements(module, bindings),
        };
        let functions = import_functions(bindings, &elements, context);
        let mut tags = PrimaryMap::with_capacity(info.tags.len());
        for signature in info.tags.values() {
            let tag = VMTag::new(
                wasmer_types::TagKind::Exception,
                info.signatures[*signature].clone(),
            );
            tags.push(InternalStoreHandle::new(context, tag));
        }

        let (allocator, memory_slots, table_slots, global_slots) =
            InstanceAllocator::new_with_offsets(module.offsets().clone(), info);

        let mut memories = PrimaryMap::new();
        for (ty, slot) in info.memories.values().zip(&memory_slots) {
            // SAFETY: the slot is in the instance, and `image` was built for this
            // module's memory, of which there is one at most.
            let memory = unsafe { GuestMemory::new(*ty, page_limit, image, *slot, published) };
            let memory = memory.map_err(|error| memory_error(&error))?;
            let memory = VMMemory(Box::new(memory));
            memories.push(InternalStoreHandle::new(context, memory));
        }
        let mut tables = PrimaryMap::with_capacity(table_slots.len());
        for ((index, ty), slot) in info.tables.iter().zip(&table_slots) {
            let style = &artifact.table_styles()[index];
            let limit = ty.minimum.saturating_add(table_growth);
            let ty = TableType {
                // Its elements are in the instance, and nothing reads the table itself.
                minimum: match reduced {
                    Some(_) if ty.is_fixed_funcref_table() => 0,
                    _ => ty.minimum,
                },
                maximum: Some(ty.maximum.map_or(limit, |it| it.min(limit))),
                ..*ty
            };
            // SAFETY: the slot is in the instance.
            let table = unsafe { VMTable::from_definition(&ty, style, *slot) };
            let table = table.map_err(|error| Error::new(Code::Resource, error))?;
            tables.push(InternalStoreHandle::new(context, table));
        }
        let mut globals = PrimaryMap::with_capacity(global_slots.len());
        for (ty, slot) in info.globals.values().zip(&global_slots) {
            // SAFETY: the slot is in the instance.
            let global = unsafe { VMGlobal::new_instance(*ty, *slot) };
            globals.push(InternalStoreHandle::new(context, global));
        }

        let imports = Imports::new(
            functions,
            PrimaryMap::new(),
            PrimaryMap::new(),
            PrimaryMap::new(),
        );
        let (info, bodies) = match reduced {
            Some(reduced) => (&reduced.info, PrimaryMap::new().into_boxed_slice()),
            None => (info, artifact.finished_functions().clone()),
        };
        // SAFETY: memories and tables have been written to their slots above; the
        // code is this module's.
        let instance = unsafe {
            VMInstance::new(
                allocator,
                info.clone(),
                context,
                bodies,
                artifact.finished_function_call_trampolines().clone(),
                memories.into_boxed_slice(),
                tables.into_boxed_slice(),
                globals.into_boxed_slice(),
                tags.into_boxed_slice(),
                imports,
                artifact.signatures().clone(),
            )
        };
        let mut instance = instance.map_err(|trap| initialisation_trap(&trap))?;
        // SAFETY: just made.
        unsafe { libcalls::guard(&instance) };
        // Tables only: the image holds the data, and `info` has no start function.
        // SAFETY: comes right after `new`.
        unsafe {
            instance.finish_instantiation(
                &VMConfig {
                    wasm_stack_size: None,
                },
                None,
                &[],
            )
        }
        .map_err(|trap| initialisation_trap(&trap))?;
        if let Some(reduced) = reduced {
            // SAFETY: just made; the module and the bindings outlive it by contract, and
            // `Self` keeps the result.
            elements = unsafe { fill_tables(&mut instance, reduced, module, bindings) };
        }

        Ok(Self {
            instance,
            store,
            _elements: elements,
        })
    }

    pub(crate) fn vmctx(&self) -> *mut VMContext {
        self.instance.vmctx_ptr()
    }

    /// Drops the exceptions that the guest has thrown.
    ///
    /// # Safety
    /// No call of this instance is running, and no global can hold an exception.
    pub(crate) unsafe fn drop_exceptions(&self) {
        // SAFETY: by contract, nothing else uses the store or refers to one of them.
        VMExceptionObj::list_mut(unsafe { &mut *self.store.get() }).clear();
    }

    /// How compiled code is called.
    pub(crate) fn callee(
        &self,
        module: &Module,
        bindings: &[UnsafeCell<HostBinding>],
        function: FunctionIndex,
    ) -> Callee {
        let info = module.info();
        let artifact = module.artifact();
        let signature: SignatureIndex = info.functions[function];
        let trampoline = artifact.finished_function_call_trampolines()[signature];
        match info.local_func_index(function) {
            Some(local) => Callee {
                trampoline,
                body: artifact.finished_functions()[local].0,
                vmctx: self.vmctx(),
            },
            // An import, exported again or used as the start function.
            None => Callee {
                trampoline,
                body: (import_stub as *const ()).cast(),
                vmctx: bindings[function.as_u32() as usize].get().cast(),
            },
        }
    }

    /// The flags of the interrupt checks.
    pub(crate) fn interrupt_flags(&self, module: &Module) -> *const interrupt::Flags {
        let Some(index) = flags_index(module.info()) else {
            return std::ptr::null();
        };
        let offset = self.instance.vmoffsets().vmctx_vmglobal_definition(index);
        // SAFETY: the offset lies within the instance's own memory; a global's i32 is
        // at the start of its slot, aligned to 16 bytes.
        unsafe {
            self.instance
                .vmctx_ptr()
                .cast::<u8>()
                .add(offset as usize)
                .cast()
        }
    }
}

// They lie one after the other as wasmer's globals do.
const _: () = assert!(size_of::<FlagGlobal>() == size_of::<VMGlobalDefinition>());

/// The imports as table elements.
fn import_elements(module: &Module, bindings: &[UnsafeCell<HostBinding>]) -> Elements {
    // An import's has its binding in place of an instance.
    let element = |import| element(module, bindings, std::ptr::null_mut(), import);
    let imports = (0..bindings.len()).map(FunctionIndex::new);
    imports.filter_map(element).map(UnsafeCell::new).collect()
}

/// `elements` has one for each import, or none if nothing refers to imports.
fn import_functions(
    bindings: &[UnsafeCell<HostBinding>],
    elements: &Elements,
    context: &mut StoreObjects,
) -> PrimaryMap<FunctionIndex, VMFunctionImport> {
    let mut register = |anyfunc: NonNull<VMCallerCheckedAnyfunc>| {
        let function = VMFunction {
            anyfunc: MaybeInstanceOwned::Instance(anyfunc),
            // For wasmer's own calls from the host, which nobody makes: compiled code
            // compares the element's hash.
            signature: FunctionType::new([], []),
            kind: VMFunctionKind::Static,
            host_data: Box::new(()),
        };
        InternalStoreHandle::new(context, function)
    };
    // Never followed if nothing refers to imports; then one will do.
    let mut handle = register(NonNull::dangling());
    let mut functions = PrimaryMap::with_capacity(bindings.len());
    for (index, binding) in bindings.iter().enumerate() {
        if let Some(element) = elements.get(index) {
            handle = register(NonNull::from(element).cast());
        }
        functions.push(VMFunctionImport {
            body: (import_stub as *const ()).cast(),
            environment: VMFunctionContext {
                host_env: binding.get().cast(),
            },
            handle,
            include_m0_param: false,
        });
    }
    functions
}

fn page_limit(options: &Options) -> Pages {
    let pages = options.max_memory_bytes / WASM_PAGE_SIZE as u64;
    Pages(
        u32::try_from(pages)
            .unwrap_or(u32::MAX)
            .min(Pages::max_value().0),
    )
}

/// By how many elements each table may grow: an equal share of what the tables' initial
/// sizes leave of the VM's limit.
fn table_growth(info: &ModuleInfo, options: &Options) -> Result<u32> {
    let limit = options.max_table_elements;
    let start: u64 = info.tables.values().map(|it| u64::from(it.minimum)).sum();
    let Some(rest) = u64::from(limit).checked_sub(start) else {
        return Err(Error::new(
            Code::Resource,
            format!("the tables start with {start} elements, the limit is {limit}"),
        ));
    };
    let growing = |it: &&TableType| it.maximum != Some(it.minimum);
    let growing = info.tables.values().filter(growing).count().max(1) as u64;
    Ok(u32::try_from(rest / growing).unwrap_or(u32::MAX))
}

fn memory_error(error: &MemoryError) -> Error {
    let message = match error {
        MemoryError::Generic(message) => message.clone(),
        other => other.to_string(),
    };
    Error::new(Code::Resource, message)
}

fn initialisation_trap(trap: &wasmer_vm::Trap) -> Error {
    let (_, code) = wasmer_compiler::get_trace_and_trapcode(trap);
    let message = code.map_or_else(|| trap.to_string(), |code| code.message().to_owned());
    Error::new(
        Code::Trap,
        format!("wasm trap: {message}, while initialising the instance"),
    )
}
