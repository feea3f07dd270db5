// C++ exceptions in the same program, through the same unwinder.
#include <stdexcept>

extern "C" bool cpp_catches_an_exception();
extern "C" bool other_catches_a_panic();

namespace {
[[gnu::noinline]] void fail() { throw std::runtime_error("expected"); }
} // namespace

bool cpp_catches_an_exception() {
  try {
    fail();
  } catch (const std::runtime_error&) {
    return true;
  }
  return false;
}

#ifdef WITHOUT_ARCHIVE
int main() { return cpp_catches_an_exception() && other_catches_a_panic() ? 0 : 1; }
#endif
