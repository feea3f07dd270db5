// Prints how a registry behaves: Envoy's own, or tests/cpp/envoy_mirror. tests/bazel/test_bazel.py
// compiles it with and without ENVOY_STATIC_EXTENSION_REGISTRATION, and says what is expected. To
// compare with the original, compile it against Envoy's sources: the output must be the same.
#include <exception>
#include <iostream>
#include <set>
#include <string>

#include "envoy/registry/registry.h"

namespace {

class Factory {
public:
  virtual ~Factory() = default;
  virtual std::string name() const = 0;
  virtual std::string category() const { return "probe"; }
  virtual std::set<std::string> configTypes() { return {}; }
};

class ByMacro : public Factory {
public:
  std::string name() const override { return "by macro"; }
};

class ByObject : public Factory {
public:
  std::string name() const override { return "by object"; }
};

REGISTER_FACTORY(ByMacro, Factory);

const Envoy::Registry::RegisterFactory<ByObject, Factory> registration;

bool isRegistered(const char* name) {
  return Envoy::Registry::FactoryRegistry<Factory>::getFactory(name) != nullptr;
}

} // namespace

int main() {
  std::cout << "macro: " << isRegistered("by macro") << "\n";
  forceRegisterByMacro();
  std::cout << "macro, forced: " << isRegistered("by macro") << "\n";
  std::cout << "object: " << isRegistered("by object") << "\n";
  std::cout << "nobody: " << isRegistered("nobody") << "\n";
  try {
    const Envoy::Registry::RegisterFactory<ByObject, Factory> again;
    std::cout << "twice: no error\n";
  } catch (const std::exception& error) {
    std::cout << "twice: " << error.what() << "\n";
  }
  return 0;
}
