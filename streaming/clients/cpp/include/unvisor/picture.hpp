// A frame's pixels as one plain buffer. Needs libturbojpeg for JPEG; the rest of the client does not.
#pragma once

#include <cstdint>
#include <vector>

#include "unvisor/messages.hpp"

namespace unvisor {

struct Picture {
  int width = 0;     // px
  int height = 0;    // px
  int channels = 0;  // 3: blue, green, red; 1: grey
  std::vector<std::uint8_t> pixels;  // rows from the top, no padding
};

// Throws MessageError when the JPEG is broken, or when this build cannot read JPEG.
Picture picture_of(const Frame& frame);

}  // namespace unvisor
