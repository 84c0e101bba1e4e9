// Libraries that few runs need, loaded by the first that does: one that is linked costs every start of the program its time
// and memory, with all the libraries that it needs itself.
#pragma once

#include <initializer_list>
#include <string>

namespace nacre {

class SharedLibrary {
 public:
  // The first of these that there is, for the rest of the process's life. Throws an Error, which says what cannot be done
  // ("curves cannot be drawn: …"), when there is none.
  SharedLibrary(std::string purpose, std::initializer_list<const char*> names);

  class Symbol {
   public:
    template <class Function>
    operator Function*() const {
      return reinterpret_cast<Function*>(address_);
    }

   private:
    friend class SharedLibrary;
    explicit Symbol(void* address) : address_(address) {}
    void* address_;
  };
  // A function of the library, whose type is that of the pointer it is put into. Throws an Error when it has none of the name.
  Symbol operator[](const char* name) const;

 private:
  std::string purpose_;
  void* handle_ = nullptr;
};

}  // namespace nacre
