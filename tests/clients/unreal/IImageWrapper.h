#pragma once

#include <turbojpeg.h>

#include "CoreMinimal.h"

enum class EImageFormat : int8_t { Invalid = -1, PNG, JPEG };
enum class ERGBFormat : int8_t { Invalid = -1, RGBA = 0, BGRA = 1, Gray = 2 };

class IImageWrapper {
 public:
  bool SetCompressed(const void* data, int64 size) {
    const auto* bytes = static_cast<const uint8*>(data);
    jpeg_.assign(bytes, bytes + size);
    tjhandle reader = tjInitDecompress();
    int subsampling = 0, colours = 0;
    const bool read = tjDecompressHeader3(reader, jpeg_.data(), jpeg_.size(), &width_, &height_,
                                          &subsampling, &colours) == 0;
    tjDestroy(reader);
    return read;
  }
  int64 GetWidth() const { return width_; }
  int64 GetHeight() const { return height_; }
  bool GetRaw(const ERGBFormat format, int32 depth, TArray64<uint8>& out) {
    if (format != ERGBFormat::BGRA || depth != 8) return false;
    out.SetNumUninitialized(int64{4} * width_ * height_);
    tjhandle reader = tjInitDecompress();
    const bool read = tjDecompress2(reader, jpeg_.data(), jpeg_.size(), out.GetData(), width_, 0,
                                    height_, TJPF_BGRA, 0) == 0;
    tjDestroy(reader);
    return read;
  }

 private:
  std::vector<uint8> jpeg_;
  int width_ = 0, height_ = 0;
};
