// The part of Envoy's registry that cpp/config.cc and its test use. It behaves as Envoy's does, the
// macro above all, which registers only under ENVOY_STATIC_EXTENSION_REGISTRATION.
// tests/bazel/registry_test.cc runs on both.
#pragma once

#include <cassert>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>

namespace Envoy {
namespace Registry {

template <class Base> class FactoryRegistry {
public:
  static void registerFactory(Base& factory, std::string_view name) {
    if (!factories().emplace(name, &factory).second) {
      throw std::runtime_error("Double registration for name: '" + std::string(name) + "'");
    }
  }

  static Base* getFactory(std::string_view name) {
    const auto found = factories().find(name);
    return found == factories().end() ? nullptr : found->second;
  }

private:
  static std::map<std::string, Base*, std::less<>>& factories() {
    static std::map<std::string, Base*, std::less<>> factories;
    return factories;
  }
};

template <class T, class Base> class RegisterFactory {
public:
  RegisterFactory() {
    assert(!instance_.name().empty());
    FactoryRegistry<Base>::registerFactory(instance_, instance_.name());
  }

private:
  T instance_{};
};

} // namespace Registry
} // namespace Envoy

#ifdef ENVOY_STATIC_EXTENSION_REGISTRATION
#define REGISTER_FACTORY(FACTORY, BASE)                                                            \
  [[maybe_unused]] void forceRegister##FACTORY() {}                                                \
  static Envoy::Registry::RegisterFactory<FACTORY, BASE> FACTORY##_registered
#else
#define REGISTER_FACTORY(FACTORY, BASE)                                                            \
  [[maybe_unused]] void forceRegister##FACTORY() {                                                 \
    [[maybe_unused]] static auto registered =                                                      \
        new Envoy::Registry::RegisterFactory<FACTORY, BASE>();                                     \
  }                                                                                                \
  static_assert(true)
#endif
