#pragma once

#include "CoreMinimal.h"

enum EPixelFormat { PF_B8G8R8A8 };
enum TextureAddress { TA_Wrap, TA_Clamp };

struct FUpdateTextureRegion2D;

class UTexture2D {
 public:
  static UTexture2D* CreateTransient(int32 width, int32 height, EPixelFormat format = PF_B8G8R8A8) {
    (void)format;
    auto* made = new UTexture2D;  // the engine would collect it
    made->width_ = width;
    made->height_ = height;
    return made;
  }
  int32 GetSizeX() const { return width_; }
  int32 GetSizeY() const { return height_; }
  void UpdateResource() { has_resource = true; }
  void UpdateTextureRegions(
      int32 mip, uint32 count, const FUpdateTextureRegion2D* regions, uint32 pitch, uint32 bytes_each,
      uint8* data, TFunction<void(uint8*, const FUpdateTextureRegion2D*)> clean_up = {}) {
    if (mip == 0 && count == 1 && has_resource && pitch == 4u * width_ && bytes_each == 4) {
      shown.assign(data, data + pitch * height_);
    }
    if (clean_up) clean_up(data, regions);
  }

  bool SRGB = false;
  TextureAddress AddressX = TA_Wrap, AddressY = TA_Wrap;
  std::vector<uint8> shown;  // what the graphics card would have
  bool has_resource = false;

 private:
  int32 width_ = 0, height_ = 0;
};
