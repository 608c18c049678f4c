#pragma once

#include "CoreMinimal.h"

enum ELevelTick { LEVELTICK_TimeOnly, LEVELTICK_ViewportsOnly, LEVELTICK_All };
struct FActorComponentTickFunction {
  bool bCanEverTick = false;
};
namespace EEndPlayReason {
enum Type { Destroyed, LevelTransition, EndPlayInEditor, RemovedFromWorld, Quit };
}

class UActorComponent {
 public:
  virtual ~UActorComponent() = default;
  virtual void BeginPlay() {}
  virtual void EndPlay(const EEndPlayReason::Type) {}
  virtual void TickComponent(float, ELevelTick, FActorComponentTickFunction*) {}
  FActorComponentTickFunction PrimaryComponentTick;
};
