#pragma once

#include "CoreMinimal.h"

class FDefaultModuleImpl {};
#define IMPLEMENT_MODULE(Class, Name) \
  FDefaultModuleImpl Name##Module() { return Class(); }

class FModuleManager {
 public:
  template <typename T>
  static T& LoadModuleChecked(const FName&) {
    static T module;
    return module;
  }
};
