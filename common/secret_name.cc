#include "common/secret_name.h"

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"

namespace podtap {
namespace {

constexpr std::array<std::string_view, 15> kSecretWords = {
    "auth",   "cert",     "cookie", "credential", "csrf", "jwt",       "key",  "passphrase",
    "passwd", "password", "pwd",    "secret",     "sess", "signature", "token"};

bool ContainsIgnoreCase(std::string_view text, std::string_view lower) {
  return std::search(text.begin(), text.end(), lower.begin(), lower.end(), [](char a, char b) {
           return absl::ascii_tolower(static_cast<unsigned char>(a)) == b;
         }) != text.end();
}

}  // namespace

bool SmellsOfSecret(std::string_view name) {
  return std::any_of(kSecretWords.begin(), kSecretWords.end(),
                     [&](std::string_view word) { return ContainsIgnoreCase(name, word); });
}

}  // namespace podtap
