// Certificate files as a Kubernetes secret volume has them.
#pragma once

#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "tests/support/temp_dir.h"

namespace podtap {

// Each file is a link through "..data", itself a link to the directory with the files in use.
class SecretDir {
 public:
  using Files = std::map<std::string, std::string>;

  explicit SecretDir(const Files& files) { Replace(files); }

  std::string path(const std::string& name) const { return root_.path() + "/" + name; }

  // Puts all files into a directory of their own, and swaps "..data" to it: at no time is there a
  // mix of old and new.
  void Replace(const Files& files) {
    namespace fs = std::filesystem;
    const std::string version = "..version" + std::to_string(++versions_);
    fs::create_directory(path(version));
    for (const auto& [name, content] : files) {
      Write(path(version) + "/" + name, content);
      if (!fs::is_symlink(path(name))) {
        fs::create_symlink("..data/" + name, path(name));
      }
    }
    fs::create_directory_symlink(version, path("..data_tmp"));
    fs::rename(path("..data_tmp"), path("..data"));
  }

  // Writes one file in place, where it is.
  static void Write(const std::string& path, const std::string& content) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
  }

 private:
  TempDir root_;
  int versions_ = 0;
};

}  // namespace podtap
