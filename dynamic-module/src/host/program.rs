//! A plugin's code: compiled once, with its imports resolved.

use rust_wasm::{FunctionType, Module, Options, Source};

use super::abi::AbiVersion;
use super::imports::{self, HostFunction};

/// Compiled code that any number of VMs run.
pub struct Program {
    pub(super) module: Module,
    pub(super) abi: AbiVersion,
    pub(super) options: Options,
    /// What to define for which import.
    pub(super) imports: Vec<(u32, FunctionType, HostFunction)>,
}

impl Program {
    /// Compiles bytecode in the binary format. `precompiled` is machine code that its
    /// user trusts, or empty.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub fn new(code: &[u8], precompiled: &[u8]) -> Result<Self, String> {
        let options = Options::from_env().map_err(|error| error.to_string())?;
        let source = Source {
            bytecode: code,
            precompiled,
            ..Source::default()
        };
        let module = Module::load(source, options).map_err(|error| error.to_string())?;
        let abi = AbiVersion::MARKERS
            .into_iter()
            .find(|(marker, _)| module.exported_function(marker).is_some())
            .map(|(_, version)| version)
            .ok_or("missing or unknown Proxy-Wasm ABI version")?;
        let mut resolved = Vec::new();
        for (index, import) in module.imports().iter().enumerate() {
            let Some(function) = imports::find(&import.module, &import.name) else {
                // The runtime names all missing ones when it links.
                continue;
            };
            let index = u32::try_from(index).map_err(|_| "too many imports")?;
            resolved.push((index, function.ty(), function));
        }
        Ok(Self {
            module,
            abi,
            options: options.clone(),
            imports: resolved,
        })
    }

    /// The ABI version that the plugin was built for.
    pub fn abi(&self) -> AbiVersion {
        self.abi
    }

    /// Whether the machine code was loaded rather than compiled.
    pub fn is_precompiled(&self) -> bool {
        self.module.is_precompiled()
    }
}
