//! `cargo xtask api`: Rust from the protos of `api/`, committed, so that building needs neither this
//! nor `protoc`. A test here fails when what is committed is not what the protos say.
//!
//! The server's side sees a `CloudEvent` as bytes, which is the same on the wire: records go through
//! it as they are stored. The tests' side is what any client would have.

use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use prost_build::{Config, Module};
use prost_types::{FileDescriptorSet, field_descriptor_proto::Type};

/// Where the server's side goes, and that of the tests.
const SERVER: &str = "crates/server/src/grpc/generated";
const CLIENT: &str = "crates/server/tests/it/generated";

const PROTOS: [&str; 2] = ["annal.proto", "eventsdb.proto"];

const CLOUD_EVENT: &str = ".io.cloudevents.v1.CloudEvent";
const CLOUD_EVENTS: &str = "io.cloudevents.v1";

/// Package, name of its Rust file, and the file it comes from.
const PACKAGES: [(&str, &str, &str); 3] = [
    ("annal.v1", "annal_v1", "annal.proto"),
    ("grpc", "eventsdb", "eventsdb.proto"),
    (CLOUD_EVENTS, "cloudevents", "cloudevents.proto"),
];

/// How code of one package speaks of another's: as if packages were nested modules. Ours lie side by
/// side.
const NESTED: &str = "super::super::io::cloudevents::v1::";
const FLAT: &str = "super::cloudevents::";

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Files by their path within the repository.
type Files = BTreeMap<PathBuf, Vec<u8>>;

fn main() -> Outcome<()> {
    let root = root();
    for (path, content) in generate(&root)? {
        fs::write(root.join(&path), content)?;
        println!("{}", path.display());
    }
    Ok(())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn generate(root: &Path) -> Outcome<Files> {
    let api = root.join("api");
    let mut compiler = protox::Compiler::new([&api])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(PROTOS)?;
    let set = compiler.file_descriptor_set();
    let descriptors = compiler.include_source_info(false).encode_file_descriptor_set();
    let mut files = Files::new();
    files.insert(Path::new(SERVER).join("descriptors.bin"), descriptors);
    let services = tonic_prost_build::configure().build_transport(false);
    let server = services.clone().build_client(false);
    write(&mut files, SERVER, passing_on(set.clone()), server)?;
    write(&mut files, CLIENT, set, services.build_server(false))?;
    Ok(files)
}

/// The same messages with every `CloudEvent` as bytes, and without its own package.
fn passing_on(mut set: FileDescriptorSet) -> FileDescriptorSet {
    set.file.retain(|file| file.package() != CLOUD_EVENTS);
    for message in set.file.iter_mut().flat_map(|file| &mut file.message_type) {
        for field in &mut message.field {
            if field.type_name() == CLOUD_EVENT {
                field.type_name = None;
                field.set_type(Type::Bytes);
            }
        }
    }
    set
}

fn write(
    files: &mut Files,
    dir: &str,
    set: FileDescriptorSet,
    services: tonic_prost_build::Builder,
) -> Outcome<()> {
    let mut config = Config::new();
    config.bytes(["."]).disable_comments(["."]).service_generator(services.service_generator());
    let module = |package: &str| Module::from_protobuf_package_name(package);
    let requests = set.file.into_iter().map(|file| (module(file.package()), file)).collect();
    let modules = config.generate(requests)?;
    for (package, name, proto) in PACKAGES {
        let Some(code) = modules.get(&module(package)) else { continue };
        let code = code.replace(NESTED, FLAT);
        let head = format!(
            "//! Generated from `api/{proto}` by `cargo xtask api`; changes belong there.\n\n"
        );
        files.insert(Path::new(dir).join(format!("{name}.rs")), (head + &code).into_bytes());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_code_is_what_the_protos_say() {
        let root = root();
        let files = generate(&root).expect("the protos compile");
        assert_eq!(files.len(), 6, "{:?}", files.keys());
        for (path, content) in files {
            let committed = fs::read(root.join(&path)).unwrap_or_default();
            assert!(committed == content, "{} is stale: run `cargo xtask api`", path.display());
        }
    }
}
