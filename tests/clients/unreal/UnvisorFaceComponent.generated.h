#pragma once

#define GENERATED_BODY()         \
 public:                         \
  using Super = UActorComponent; \
                                 \
 private:
