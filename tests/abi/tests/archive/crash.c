// A crash of the program, and a handler as proxies have them: it prints the stack by following
// frame pointers. What stood between the kernel and it without one would end the list.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "crash.h"

// Printed to a buffer of its own: stdio may be what has crashed.
static void print(const char* text) {
  const ssize_t written = write(STDOUT_FILENO, text, strlen(text));
  (void)written;
}

static void print_function(uintptr_t address) {
  Dl_info info;
  const int found = dladdr((const void*)address, &info);
  print(found != 0 && info.dli_sname != NULL && strstr(info.dli_fname, ".so") == NULL
            ? info.dli_sname
            : "?");
}

static void print_stack(int signal, siginfo_t* info, void* context) {
  (void)signal;
  (void)info;
  (void)context;
  enum { MAX_FRAMES = 20 };
  const uintptr_t* frame = __builtin_frame_address(0);
  for (int i = 0; i < MAX_FRAMES && frame != NULL; ++i) {
    print_function(frame[1]);
    print("\n");
    // The next is on another stack, so that it may lie below.
    frame = frame[0] % sizeof(uintptr_t) == 0 ? (const uintptr_t*)frame[0] : NULL;
    Dl_info ignored;
    if (frame != NULL && dladdr((const void*)frame[1], &ignored) == 0) {
      break;
    }
  }
  _exit(42);
}

void watch_crashes(void) {
  static uint8_t stack[64 * 1024];
  const stack_t on = {.ss_sp = stack, .ss_size = sizeof(stack)};
  struct sigaction action = {.sa_sigaction = print_stack,
                             .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESETHAND | SA_NODEFER};
  sigemptyset(&action.sa_mask);
  if (sigaltstack(&on, NULL) != 0 || sigaction(SIGSEGV, &action, NULL) != 0) {
    print("no handler\n");
    _exit(1);
  }
}

static volatile int* volatile nowhere = NULL;

__attribute__((noinline)) int crash_inner(int value) { return *nowhere + value; }
__attribute__((noinline)) int crash_middle(int value) { return crash_inner(value + 1) + value; }
__attribute__((noinline)) int crash_outer(int value) { return crash_middle(value + 1) + value; }
