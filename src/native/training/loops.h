// The loops of training for one instruction set and one number format, and which of them there are.

#pragma once

#include "gathering.h"
#include "matrix.h"
#include "pointer.h"
#include "scan.h"

namespace sunspring {

template <typename Value>
struct Loops {
  const char* name;  // of the instruction set
  bool (*is_supported)();
  const Scan<Value>* scan;
  const Pointer<Value>* pointer;
  const Product<Value>* product;
  const Gathering<Value>* gathering;
};

}  // namespace sunspring
