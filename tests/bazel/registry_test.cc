// How a registry behaves: Envoy's own under Bazel, and tests/cpp/envoy_mirror in `make test`. What
// the mirror does otherwise than the original fails in one of them. Both are built with and without
// ENVOY_STATIC_EXTENSION_REGISTRATION, which Envoy defines for its own targets alone.
#include <csignal>
#include <exception>
#include <iostream>
#include <set>
#include <stdexcept>
#include <string>

#include <sys/wait.h>
#include <unistd.h>

#include "envoy/registry/registry.h"

#include "source/extensions/common/wasm/wasm_runtime_factory.h"

namespace {

using Envoy::Registry::RegisterFactory;

class Factory : public Envoy::Config::UntypedFactory {
public:
  std::string category() const override { return "probe"; }
};

using Registry = Envoy::Registry::FactoryRegistry<Factory>;

class ByMacro : public Factory {
public:
  std::string name() const override { return "by macro"; }
};

class ByObject : public Factory {
public:
  std::string name() const override { return "by object"; }
};

class Nameless : public Factory {
public:
  std::string name() const override { return ""; }
};

REGISTER_FACTORY(ByMacro, Factory);

const RegisterFactory<ByObject, Factory> registration;

#ifdef ENVOY_STATIC_EXTENSION_REGISTRATION
constexpr bool is_envoys_own_target = true;
#else
constexpr bool is_envoys_own_target = false;
#endif

// ASSERT, Envoy's as well as the mirror's, is for debug builds.
#ifdef NDEBUG
constexpr bool has_assertions = false;
#else
constexpr bool has_assertions = true;
#endif

int failures = 0;

void check(bool held, const char* what) {
  std::cout << (held ? "" : "failed: ") << what << "\n";
  failures += held ? 0 : 1;
}

#define CHECK(_condition) check(_condition, #_condition)

std::string errorOfSecondRegistration() {
  try {
    const RegisterFactory<ByObject, Factory> again;
  } catch (const std::runtime_error& error) { // EnvoyException is one
    return error.what();
  }
  return "none";
}

// In a process of its own, as it may abort.
bool namelessAborts() {
  std::cout.flush();
  const pid_t child = fork();
  if (child == 0) {
    const RegisterFactory<Nameless, Factory> nameless;
    _exit(Registry::getFactory("") == nullptr ? 1 : 0);
  }
  int status = 1;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT));
  return status != 0;
}

} // namespace

int main() {
  CHECK((Registry::getFactory("by macro") != nullptr) == is_envoys_own_target);
  forceRegisterByMacro();
  CHECK((Registry::getFactory("by macro") != nullptr) == true);
  forceRegisterByMacro();
  CHECK(Registry::getFactory("by object") != nullptr);
  CHECK(Registry::getFactory("by object")->category() == "probe");
  CHECK(Registry::getFactory("by object")->configTypes().empty());
  CHECK(Registry::getFactory("by nobody") == nullptr);
  CHECK(errorOfSecondRegistration() == "Double registration for name: 'by object'");
  CHECK(namelessAborts() == has_assertions);
  return failures == 0 ? 0 : 1;
}
