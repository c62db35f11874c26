// What loops.h says of one instruction set; compiled once for each, in its namespace SUNSPRING_LOOPS.

#include "loops.h"

#include SUNSPRING_NUMBERS

namespace sunspring {

namespace SUNSPRING_LOOPS {
extern const Scan<Value> scan;
extern const Pointer<Value> pointer;
extern const Product<Value> product;
extern const Gathering<Value> gathering;
}  // namespace SUNSPRING_LOOPS

namespace loops {
extern const Loops<Value> SUNSPRING_LOOPS;
const Loops<Value> SUNSPRING_LOOPS = {kName, has_format, &sunspring::SUNSPRING_LOOPS::scan,
                                      &sunspring::SUNSPRING_LOOPS::pointer,
                                      &sunspring::SUNSPRING_LOOPS::product,
                                      &sunspring::SUNSPRING_LOOPS::gathering};
}  // namespace loops

}  // namespace sunspring
