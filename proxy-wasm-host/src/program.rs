//! A plugin's code: compiled once, with its imports resolved.

use std::sync::LazyLock;

use rust_wasm::{FunctionType, Module, Options, Source};

use crate::abi::AbiVersion;
use crate::host_function::HostFunction;
use crate::sections;

/// Compiled code that any number of VMs run.
pub struct Program {
    pub(crate) module: Module,
    pub(crate) abi: AbiVersion,
    pub(crate) options: Options,
    /// What to define for which import.
    pub(crate) imports: Vec<(u32, FunctionType, HostFunction)>,
}

impl Program {
    /// `find` has the function for an import.
    pub(crate) fn with(
        code: &[u8],
        allow_precompiled: bool,
        find: fn(&str, &str) -> Option<HostFunction>,
    ) -> Result<Self, String> {
        let options = Options::from_env().map_err(|error| error.to_string())?;
        let (bytecode, precompiled) = sections::split(code, precompiled_section().as_bytes());
        let source = Source {
            bytecode: &bytecode,
            precompiled: if allow_precompiled { precompiled } else { &[] },
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
            let Some(function) = find(&import.module, &import.name) else {
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

    /// Why machine code was not loaded, or empty.
    pub fn precompiled_rejection(&self) -> &str {
        self.module.precompiled_rejection()
    }
}

/// The name of the section that this runtime's machine code is in. It is that of the
/// engine for proxy-wasm-cpp-host, so one file serves both.
pub fn precompiled_section() -> &'static str {
    static NAME: LazyLock<String> = LazyLock::new(|| {
        let version = rust_wasm::ffi::rust_wasm_version();
        // SAFETY: a string that lives for ever.
        let version = unsafe { std::slice::from_raw_parts(version.data, version.size) };
        let version = String::from_utf8_lossy(version).replace(' ', "_");
        let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
        format!("precompiled_rust_v{version}_{os}_{arch}")
    });
    &NAME
}
