#include "unvisor/picture.hpp"

#ifdef UNVISOR_WITH_TURBOJPEG
#include <turbojpeg.h>

#include <memory>
#endif

namespace unvisor {

#ifdef UNVISOR_WITH_TURBOJPEG
static Picture decode_jpeg(const Frame& frame) {
  const std::unique_ptr<void, int (*)(tjhandle)> decoder(tjInitDecompress(), tjDestroy);
  int width = 0, height = 0, subsampling = 0, colours = 0;
  const auto bytes = static_cast<unsigned long>(frame.pixels.size());
  if (!decoder ||
      tjDecompressHeader3(decoder.get(), frame.pixels.data(), bytes, &width, &height, &subsampling,
                          &colours) != 0 ||
      width != frame.width || height != frame.height) {
    throw MessageError("The JPEG of " + frame.topic + " is broken or of another size.");
  }
  Picture picture{width, height, 3, std::vector<std::uint8_t>(3u * width * height)};
  if (tjDecompress2(decoder.get(), frame.pixels.data(), bytes, picture.pixels.data(), width, 0,
                    height, TJPF_BGR, 0) != 0 &&
      tjGetErrorCode(decoder.get()) == TJERR_FATAL) {
    throw MessageError("The JPEG of " + frame.topic + " is broken.");
  }
  return picture;
}
#else
static Picture decode_jpeg(const Frame& frame) {
  throw MessageError("The JPEG of " + frame.topic +
                     " cannot be read: build with libturbojpeg, or ask for bgr.");
}
#endif

Picture picture_of(const Frame& frame) {
  if (frame.format == "jpeg") return decode_jpeg(frame);
  return {frame.width, frame.height, frame.format == "bgr" ? 3 : 1, frame.pixels};
}

}  // namespace unvisor
