// The declarations of Envoy's registry that cpp/config.cc uses, in Envoy's words where it must be.
#pragma once

#include <string>

namespace Envoy {
namespace Registry {

template <class Base> struct FactoryRegistry { static inline Base* registered = nullptr; };

template <class T, class Base> class RegisterFactory {
public:
  RegisterFactory() { FactoryRegistry<Base>::registered = &instance_; }

private:
  T instance_{};
};

} // namespace Registry
} // namespace Envoy

#define REGISTER_FACTORY(FACTORY, BASE)                                                            \
  [[maybe_unused]] void forceRegister##FACTORY() {}                                                \
  static Envoy::Registry::RegisterFactory<FACTORY, BASE> FACTORY##_registered
