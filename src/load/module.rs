//! Modules: compiled bytecode, shared by all VMs that run it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use hashbrown::HashSet;
use wasmer_compiler::{Artifact, ArtifactCreate as _, Engine, FunctionExtent};
use wasmer_types::{ExportIndex, FunctionIndex, FunctionType, ModuleInfo, Type, VMOffsets};

use crate::error::{Code, Error, Result, contain};
#[cfg(feature = "cranelift")]
use crate::load::admission;
use crate::load::cache;
#[cfg(feature = "cranelift")]
use crate::load::engine;
use crate::load::image::Image;
use crate::load::imports::{Import, ImportIndexes, function_imports};
use crate::load::initial::{evaluate, initial_globals, initial_image};
use crate::load::names::{self, FunctionNames, NameSource};
use crate::load::reduced::Reduced;
use crate::load::serialize::{self, BytecodeId};
use crate::options::Options;
use crate::run::code;
use crate::run::signals;

/// A compiled module. Cheap to clone; usable from any thread.
#[derive(Clone)]
pub struct Module(Arc<Inner>);

struct Inner {
    // The order matters: the engine owns the artifact's machine code.
    _code: Option<code::Registration>,
    artifact: Arc<Artifact>,
    _engine: Engine,
    info: Arc<ModuleInfo>,
    start: Option<FunctionIndex>,
    /// For [`Module::reduced`].
    reduced: Option<Reduced>,
    /// The instance's layout.
    offsets: VMOffsets,
    imports: Vec<Import>,
    imports_by_name: ImportIndexes,
    names: NameSource,
    bytecode: Option<BytecodeId>,
    precompiled: bool,
    rejection: String,
    image: OnceLock<Result<Image>>,
}

/// What [`Module::load`] starts from.
#[derive(Clone, Default)]
pub struct Source<'a> {
    /// The module in the binary format. May be empty if there is precompiled code.
    pub bytecode: &'a [u8],
    /// Output of [`Module::serialize`], or empty. It is machine code, and must be
    /// trusted like this process's own.
    pub precompiled: &'a [u8],
    /// Function names for backtraces. If there are none, they come from the name
    /// section, when a backtrace needs them.
    pub names: FunctionNames,
}

impl Module {
    /// Compiles bytecode. See [`Module::load`].
    ///
    /// # Errors
    /// As [`Module::load`].
    pub fn compile(bytecode: &[u8]) -> Result<Self> {
        Self::load(
            Source {
                bytecode,
                ..Source::default()
            },
            &Options::default(),
        )
    }

    /// Loads a module: from `source.precompiled` if that fits, else from the code
    /// cache of `options.cache_dir`, else by compiling.
    ///
    /// # Errors
    /// - [`Code::InvalidModule`]: malformed bytecode, a feature that is not supported, or
    ///   far more work for the compiler than its size lets expect.
    /// - [`Code::Link`]: it imports a memory, table, global or tag, or a function that C
    ///   does not have. Hosts of Proxy-Wasm provide plain functions alone.
    /// - [`Code::Incompatible`]: no bytecode, and the precompiled code does not fit.
    pub fn load(source: Source<'_>, options: &Options) -> Result<Self> {
        contain(|| {
            signals::install();
            load(source, options)
        })
    }

    /// The compiled code, for [`Source::precompiled`].
    ///
    /// # Errors
    /// [`Code::InvalidState`] for a module that was loaded without its bytecode.
    pub fn serialize(&self) -> Result<Vec<u8>> {
        let Some(bytecode) = &self.0.bytecode else {
            return Err(Error::new(
                Code::InvalidState,
                "a module loaded without its bytecode cannot be serialized",
            ));
        };
        contain(|| serialize::write(&self.0.artifact, bytecode))
    }

    /// Whether the code was loaded rather than compiled.
    pub fn is_precompiled(&self) -> bool {
        self.0.precompiled
    }

    /// Why precompiled or cached code was not used, or empty.
    pub fn precompiled_rejection(&self) -> &str {
        &self.0.rejection
    }

    /// The functions that the module imports.
    pub fn imports(&self) -> &[Import] {
        &self.0.imports
    }

    /// The position of an import in [`Module::imports`]; the first, if several have
    /// that name.
    pub fn import(&self, module: &str, name: &str) -> Option<u32> {
        self.import_bytes(module.as_bytes(), name.as_bytes())
    }

    pub(crate) fn import_bytes(&self, module: &[u8], name: &[u8]) -> Option<u32> {
        self.0.imports_by_name.find(&self.0.imports, module, name)
    }

    /// The type of an exported function.
    pub fn exported_function(&self, name: &str) -> Option<&FunctionType> {
        self.export(name).map(|index| self.function_type(index))
    }

    pub(crate) fn export(&self, name: &str) -> Option<FunctionIndex> {
        match self.0.info.exports.get(name) {
            Some(ExportIndex::Function(index)) => Some(*index),
            _ => None,
        }
    }

    pub(crate) fn function_type(&self, index: FunctionIndex) -> &FunctionType {
        &self.0.info.signatures[self.0.info.functions[index]]
    }

    /// The names of these functions, mangled, as far as they have any.
    pub(crate) fn function_names(&self, functions: &HashSet<u32>) -> BTreeMap<u32, &[u8]> {
        self.0.names.find(functions)
    }

    pub(crate) fn artifact(&self) -> &Artifact {
        &self.0.artifact
    }

    /// As compiled, but without the start function, which a VM runs itself.
    pub(crate) fn info(&self) -> &Arc<ModuleInfo> {
        &self.0.info
    }

    /// Whether it can throw exceptions.
    pub(crate) fn throws(&self) -> bool {
        !self.0.info.tags.is_empty()
    }

    /// Whether it has globals that can hold exceptions.
    pub(crate) fn keeps_exceptions(&self) -> bool {
        let mut types = self.0.info.globals.values().map(|global| global.ty);
        types.any(|ty| ty == Type::ExceptionRef)
    }

    /// What instances are made from, if not from all that the module has.
    pub(crate) fn reduced(&self) -> Option<&Reduced> {
        self.0.reduced.as_ref()
    }

    pub(crate) fn offsets(&self) -> &VMOffsets {
        &self.0.offsets
    }

    pub(crate) fn start(&self) -> Option<FunctionIndex> {
        self.0.start
    }

    /// The memory's initial contents; built for the first VM.
    pub(crate) fn image(&self) -> Result<&Image> {
        self.0
            .image
            .get_or_init(|| initial_image(&self.0.artifact, &self.0.info))
            .as_ref()
            .map_err(Clone::clone)
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module")
            .field("imports", &self.0.imports.len())
            .finish_non_exhaustive()
    }
}

fn load(source: Source<'_>, options: &Options) -> Result<Module> {
    let Source {
        bytecode,
        precompiled,
        names,
    } = source;
    let section = if names.is_empty() {
        names::section(bytecode)
    } else {
        &[]
    };
    let names = NameSource::new(names, section);
    let mut rejection = String::new();

    if !precompiled.is_empty() {
        let is_right = |it: &BytecodeId| bytecode.is_empty() || it.matches(bytecode);
        match serialize::read(precompiled, is_right) {
            Ok((engine, artifact, id)) => {
                let id = (!bytecode.is_empty()).then_some(id);
                return finish(engine, artifact, names, id, true, rejection);
            }
            Err(error) if bytecode.is_empty() => return Err(error),
            Err(error) => rejection = error.message().to_owned(),
        }
    }
    if bytecode.is_empty() {
        return Err(Error::new(Code::InvalidModule, "the module is empty"));
    }
    let id = BytecodeId::of(bytecode);
    let cache = options.cache_dir.as_deref();
    if let Some(dir) = cache {
        match cache::load(dir, &id.hash) {
            Ok(Some((engine, artifact))) => {
                return finish(engine, artifact, names, Some(id), true, rejection);
            }
            Ok(None) => {}
            Err(error) => rejection = error.message().to_owned(),
        }
    }
    let (engine, artifact) = compile(bytecode).map_err(|error| match rejection.as_str() {
        "" => error,
        // Without a compiler this is what matters.
        why => Error::new(error.code(), format!("{} ({why})", error.message())),
    })?;
    if let Some(dir) = cache
        && let Err(error) = serialize::write(&artifact, &id)
            .and_then(|code| cache::store(dir, &id.hash, &code, options.cache_max_bytes))
    {
        rejection = error.message().to_owned();
    }
    finish(engine, artifact, names, Some(id), false, rejection)
}

#[cfg(feature = "cranelift")]
fn compile(bytecode: &[u8]) -> Result<(Engine, Arc<Artifact>)> {
    use wasmer_types::CompileError;

    let error = |error: CompileError| {
        let code = match error {
            CompileError::Resource(_) => Code::Resource,
            _ => Code::InvalidModule,
        };
        Error::new(code, error.to_string())
    };
    engine::validate(bytecode).map_err(error)?;
    let engine = engine::for_compiling(admission::admit(bytecode)?);
    let artifact = engine.compile(bytecode).map_err(error)?;
    Ok((engine, artifact))
}

#[cfg(not(feature = "cranelift"))]
fn compile(_: &[u8]) -> Result<(Engine, Arc<Artifact>)> {
    Err(Error::new(
        Code::Incompatible,
        "this build has no compiler and runs precompiled modules only",
    ))
}

fn finish(
    engine: Engine,
    artifact: Arc<Artifact>,
    names: NameSource,
    bytecode: Option<BytecodeId>,
    precompiled: bool,
    rejection: String,
) -> Result<Module> {
    let mut info = artifact.create_module_info();
    let start = info.start_function;
    if start.is_some() {
        // wasmer would run it without our stacks and host functions.
        Arc::make_mut(&mut info).start_function = None;
    }
    let mut imports = function_imports(&info)?;
    let imports_by_name = ImportIndexes::new(&mut imports);
    let globals = initial_globals(&info);
    let reduced = Reduced::new(&info, |it| evaluate(&it.offset_expr, &globals, &info));
    Ok(Module(Arc::new(Inner {
        _code: extent(&artifact).as_ref().map(code::register),
        reduced,
        artifact,
        _engine: engine,
        offsets: VMOffsets::new(8, &info),
        info,
        start,
        imports,
        imports_by_name,
        names,
        bytecode,
        precompiled,
        rejection,
        image: OnceLock::new(),
    })))
}

/// Where the module's functions lie; none if it has none.
fn extent(artifact: &Artifact) -> Option<Range<usize>> {
    let extents = artifact.finished_function_extents()?;
    let start_of = |extent: &FunctionExtent| extent.ptr.0.addr();
    let start = extents.iter().map(|it| start_of(&it.1)).min()?;
    let end = extents
        .iter()
        .map(|it| start_of(&it.1) + it.1.length)
        .max()?;
    Some(start..end)
}
