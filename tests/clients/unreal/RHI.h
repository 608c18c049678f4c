#pragma once

#include "CoreMinimal.h"

struct FUpdateTextureRegion2D {
  uint32 DestX, DestY;
  int32 SrcX, SrcY;
  uint32 Width, Height;
  FUpdateTextureRegion2D(uint32 dest_x, uint32 dest_y, int32 src_x, int32 src_y, uint32 width, uint32 height)
      : DestX(dest_x), DestY(dest_y), SrcX(src_x), SrcY(src_y), Width(width), Height(height) {}
};
