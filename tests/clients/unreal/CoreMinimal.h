// What the Unreal plugin uses of the engine, with the same names and signatures, and just enough
// behaviour to run the component without an editor. Written for this test; no code of the engine.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

using uint8 = std::uint8_t;
using int32 = std::int32_t;
using uint32 = std::uint32_t;
using int64 = std::int64_t;
using TCHAR = char16_t;

#define TEXT(text) u##text
#define UNVISOR_API
#define UCLASS(...)
#define UENUM(...)
#define UPROPERTY(...)
#define UFUNCTION(...)
#define THIRD_PARTY_INCLUDES_START
#define THIRD_PARTY_INCLUDES_END

class FString {
 public:
  FString() = default;
  FString(const TCHAR* text) : text_(text) {}
  const TCHAR* operator*() const { return text_.c_str(); }

 private:
  std::u16string text_;
};

struct FTCHARToUTF8 {
  explicit FTCHARToUTF8(const TCHAR* text) {
    for (; *text; ++text) bytes.push_back(static_cast<char>(*text));  // the tests write ASCII
  }
  std::string bytes;
};
struct FUTF8ToTCHAR {
  explicit FUTF8ToTCHAR(const char* text) : units(text, text + std::string(text).size()) {}
  std::u16string units;
};
#define TCHAR_TO_UTF8(text) (FTCHARToUTF8(text).bytes.c_str())
#define UTF8_TO_TCHAR(text) (FUTF8ToTCHAR(text).units.c_str())

class FName {
 public:
  explicit FName(const char* name) : name_(name) {}

 private:
  std::string name_;
};

template <typename T, typename Size>
class TSizedArray {
 public:
  void Add(const T& item) { items_.push_back(item); }
  void Reset() { items_.clear(); }
  void Empty() { items_.clear(); }
  void SetNumUninitialized(Size count) { items_.resize(count); }
  Size Num() const { return static_cast<Size>(items_.size()); }
  T* GetData() { return items_.data(); }
  T& operator[](Size i) { return items_[i]; }

 private:
  std::vector<T> items_;
};
template <typename T>
using TArray = TSizedArray<T, int32>;
template <typename T>
using TArray64 = TSizedArray<T, int64>;

template <typename T>
class TSharedPtr : private std::shared_ptr<T> {
 public:
  TSharedPtr() = default;
  TSharedPtr(std::shared_ptr<T> other) : std::shared_ptr<T>(std::move(other)) {}
  bool IsValid() const { return this->get() != nullptr; }
  void Reset() { this->reset(); }
  T* operator->() const { return this->get(); }
};
template <typename T, typename... Arguments>
TSharedPtr<T> MakeShared(Arguments&&... arguments) {
  return std::make_shared<T>(std::forward<Arguments>(arguments)...);
}
template <typename T>
using TObjectPtr = T*;
template <typename T>
using TFunction = std::function<T>;

struct FVector {
  double X, Y, Z;
  FVector(double x, double y, double z) : X(x), Y(y), Z(z) {}
};
struct FVector2D {
  double X = 0, Y = 0;
  FVector2D() = default;
  FVector2D(double x, double y) : X(x), Y(y) {}
};

#define DECLARE_DYNAMIC_MULTICAST_DELEGATE_OneParam(Name, Type, Parameter) \
  struct Name {                                                           \
    std::vector<std::function<void(Type)>> listeners;                     \
    void Broadcast(Type Parameter) const {                                \
      for (const auto& listener : listeners) listener(Parameter);         \
    }                                                                     \
  }
