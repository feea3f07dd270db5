//! Envoy's node, `xds.node.*`. The ABI for modules does not tell it, so whoever starts
//! Envoy can give it in the environment, as JSON in the shape of a bootstrap's `node`.

use std::sync::OnceLock;

use serde_json::Value;

use proxy_wasm_host::encode_pairs;

const VARIABLE: &str = "RUST_WASM_NODE";

/// What the environment says of the node, read once.
pub struct Node(Value);

impl Node {
    /// The process's node.
    ///
    /// # Errors
    /// If the variable is not a JSON object.
    pub fn from_env() -> Result<&'static Self, String> {
        static NODE: OnceLock<Result<Node, String>> = OnceLock::new();
        let node = NODE.get_or_init(|| match std::env::var(VARIABLE) {
            Ok(text) => Self::parse(&text),
            Err(std::env::VarError::NotPresent) => Ok(Self(Value::Null)),
            Err(error) => Err(format!("{VARIABLE}: {error}")),
        });
        node.as_ref().map_err(Clone::clone)
    }

    fn parse(text: &str) -> Result<Self, String> {
        match serde_json::from_str(text) {
            Ok(node @ Value::Object(_)) => Ok(Self(node)),
            Ok(_) => Err(format!("{VARIABLE} is not an object")),
            Err(error) => Err(format!("{VARIABLE}: {error}")),
        }
    }

    /// The value at `path`, which goes on from `xds.node`. Whole messages are not served:
    /// the plugin would expect them in protobuf's encoding.
    pub fn property(&self, path: &[&[u8]]) -> Option<Vec<u8>> {
        let mut value = &self.0;
        for part in path {
            let part = str::from_utf8(part).ok()?;
            value = match value {
                Value::Array(list) => list.get(part.parse::<usize>().ok()?)?,
                other => other.get(part)?,
            };
        }
        let is_message = value.is_object() && *path.first()? != b"metadata";
        if is_message { None } else { serialized(value) }
    }
}

/// As Envoy's Wasm filter gives values: maps and lists in the ABI's encoding of pairs.
fn serialized(value: &Value) -> Option<Vec<u8>> {
    let pairs: Vec<(Vec<u8>, Vec<u8>)> = match value {
        Value::Null => return None,
        Value::Bool(flag) => return Some(vec![u8::from(*flag)]),
        Value::Number(number) => return Some(number.as_f64()?.to_le_bytes().to_vec()),
        Value::String(text) => return Some(text.clone().into_bytes()),
        Value::Array(list) => {
            let item = |value| Some((serialized(value)?, Vec::new()));
            list.iter().map(item).collect::<Option<_>>()?
        }
        Value::Object(map) => {
            let pair =
                |(name, value): (&String, _)| Some((name.clone().into_bytes(), serialized(value)?));
            map.iter().map(pair).collect::<Option<_>>()?
        }
    };
    let pairs: Vec<_> = pairs.iter().map(|(n, v)| (&n[..], &v[..])).collect();
    encode_pairs(&pairs).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_path() {
        let node = r#"{"id": "a", "locality": {"zone": "z"},
            "metadata": {"n": 1.5, "f": true, "m": {"k": "v"}, "l": ["x"], "0": null}}"#;
        let node = Node::parse(node).expect("it is right");
        let get = |path: &str| {
            let parts: Vec<&[u8]> = path.split('.').map(str::as_bytes).collect();
            node.property(&parts)
        };
        assert_eq!(get("id"), Some(b"a".to_vec()));
        assert_eq!(get("locality.zone"), Some(b"z".to_vec()));
        assert_eq!(get("locality"), None);
        assert_eq!(get("id.more"), None);
        assert_eq!(node.property(&[]), None);
        assert_eq!(get("metadata.n"), Some(1.5f64.to_le_bytes().to_vec()));
        assert_eq!(get("metadata.f"), Some(vec![1]));
        assert_eq!(get("metadata.l.0"), Some(b"x".to_vec()));
        assert_eq!(get("metadata.0"), None);
        let pairs = b"\x01\0\0\0\x01\0\0\0\x01\0\0\0k\0v\0";
        assert_eq!(get("metadata.m"), Some(pairs.to_vec()));
    }

    #[test]
    fn mistakes_name_the_variable() {
        for wrong in ["", "1", "{"] {
            let error = Node::parse(wrong).err().expect("it is wrong");
            assert!(error.contains(VARIABLE), "{error}");
        }
    }
}
