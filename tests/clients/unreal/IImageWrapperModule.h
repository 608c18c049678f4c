#pragma once

#include "IImageWrapper.h"

class IImageWrapperModule {
 public:
  TSharedPtr<IImageWrapper> CreateImageWrapper(const EImageFormat format) {
    return format == EImageFormat::JPEG ? MakeShared<IImageWrapper>() : TSharedPtr<IImageWrapper>();
  }
};
