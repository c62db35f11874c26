// For Debian's library of C++ for WebAssembly, which has no exceptions: what throws ends the program.

#include <cstddef>
#include <cstdlib>

extern "C" void* __cxa_allocate_exception(std::size_t) { std::abort(); }
extern "C" void __cxa_throw(void*, void*, void (*)(void*)) { std::abort(); }
