// Regions of OpenMP in generated code, which no exception can leave.
#pragma once

#include <string_view>

namespace slim {

// Whether this thread is in a region that `leave_region` can end.
bool is_in_region() noexcept;

// Ends the region for all of its threads, as soon as each comes to a barrier or to the end. What they were to compute
// is not computed; the thread that started the region fails later (pending.h).
[[noreturn]] void leave_region(std::string_view why) noexcept;

}  // namespace slim
