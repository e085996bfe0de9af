#include "common/completion.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "common/option_shape.h"

namespace podtap {
namespace {

constexpr char kCommand[] = "completion";
constexpr char kShell[] = "SHELL";

// One flag of one command, with all of its names.
struct Flag {
  std::vector<std::string> names;
  std::string description;
  OptionShape shape;
  // FILE, PEM-FILE, DIR. Not sqlite:DIR, which has more than a path.
  bool is_file() const {
    return absl::EndsWith(shape.value_name, "FILE") || shape.value_name == "DIR";
  }
};

struct Command {
  // Empty for the program itself.
  std::string name;
  std::string description;
  std::vector<Flag> flags;
  // What may stand there that is not a flag.
  std::vector<std::string> words;
};

Command Describe(const CLI::App& app, const std::string& name) {
  Command command{.name = name, .description = app.get_description()};
  for (const CLI::Option* option : app.get_options()) {
    Flag flag{.description = option->get_description(), .shape = ShapeOf(*option)};
    for (const std::string& short_name : option->get_snames()) {
      flag.names.push_back("-" + short_name);
    }
    for (const std::string& long_name : option->get_lnames()) {
      flag.names.push_back("--" + long_name);
    }
    if (flag.names.empty()) {
      command.words = flag.shape.choices;
    } else {
      command.flags.push_back(std::move(flag));
    }
  }
  return command;
}

// A command that takes its program's flags too.
void AddFlagsOf(const Command& program, Command& command) {
  const size_t own = command.flags.size();
  for (const Flag& flag : program.flags) {
    const bool is_own =
        std::any_of(command.flags.begin(), command.flags.begin() + static_cast<ptrdiff_t>(own),
                    [&](const Flag& other) { return other.names == flag.names; });
    if (!is_own) {
      command.flags.push_back(flag);
    }
  }
}

// The program first.
std::vector<Command> Commands(const CLI::App& app) {
  std::vector<Command> commands = {Describe(app, "")};
  for (const CLI::App* subcommand : app.get_subcommands(nullptr)) {
    commands.push_back(Describe(*subcommand, subcommand->get_name()));
    if (subcommand->get_fallthrough()) {
      AddFlagsOf(commands.front(), commands.back());
    }
    commands.front().words.push_back(subcommand->get_name());
  }
  return commands;
}

// In single quotes, as all three shells take it but for fish's backslash, which no text of ours
// has.
std::string Quoted(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

std::string FunctionName(const CLI::App& app) {
  return "_" + absl::StrReplaceAll(app.get_name(), {{"-", "_"}});
}

std::string AllNames(const Command& command) {
  std::vector<std::string> names = command.words;
  for (const Flag& flag : command.flags) {
    names.insert(names.end(), flag.names.begin(), flag.names.end());
  }
  return absl::StrJoin(names, " ");
}

// "a|b" of the pattern "COMMAND:FLAG" in bash and zsh.
std::string Pattern(const Command& command, const Flag& flag) {
  return absl::StrJoin(flag.names, "|", [&](std::string* out, const std::string& name) {
    absl::StrAppend(out, command.name, ":", name);
  });
}

std::string Bash(const CLI::App& app) {
  const std::vector<Command> commands = Commands(app);
  std::string values;
  std::string words;
  for (const Command& command : commands) {
    for (const Flag& flag : command.flags) {
      if (flag.shape.value_name.empty()) {
        continue;
      }
      const std::string what =
          flag.is_file()
              ? "compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "
                "\"$word\"); return"
          : flag.shape.choices.empty()
              ? "return"
              : absl::StrCat("mapfile -t COMPREPLY < <(compgen -W ",
                             Quoted(absl::StrJoin(flag.shape.choices, " ")),
                             " -- \"$word\"); return");
      absl::StrAppend(&values, "    ", Pattern(command, flag), ") ", what, " ;;\n");
    }
    absl::StrAppend(&words, "    ", command.name.empty() ? "''" : command.name,
                    ") words=", Quoted(AllNames(command)), " ;;\n");
  }
  return absl::StrCat(
      FunctionName(app),
      "() {\n"
      "  local word=${COMP_WORDS[COMP_CWORD]} flag=${COMP_WORDS[COMP_CWORD-1]} command= words= i\n"
      "  # --flag=value is three words to bash.\n"
      "  if [ \"$word\" = = ]; then\n"
      "    word=\n"
      "  elif [ \"$flag\" = = ]; then\n"
      "    flag=${COMP_WORDS[COMP_CWORD-2]}\n"
      "  fi\n"
      "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
      "    case ${COMP_WORDS[i]} in\n"
      "    ",
      absl::StrJoin(commands.front().words, "|"),
      ") command=${COMP_WORDS[i]}; break ;;\n"
      "    esac\n"
      "  done\n"
      "  COMPREPLY=()\n"
      "  case $command:$flag in\n",
      values,
      "  esac\n"
      "  case $command in\n",
      words,
      "  esac\n"
      "  mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n"
      "}\n"
      "complete -F ",
      FunctionName(app), " ", app.get_name(), "\n");
}

std::string Zsh(const CLI::App& app) {
  const std::vector<Command> commands = Commands(app);
  std::string values;
  std::string words;
  for (const Command& command : commands) {
    std::vector<std::string> described;
    for (const std::string& word : command.words) {
      described.push_back(Quoted(word));
    }
    for (const Flag& flag : command.flags) {
      for (const std::string& name : flag.names) {
        described.push_back(Quoted(name + ":" + flag.description));
      }
      if (!flag.shape.value_name.empty()) {
        const std::string what =
            flag.is_file() ? "_files; return"
            : flag.shape.choices.empty()
                ? "return"
                : "compadd -- " + absl::StrJoin(flag.shape.choices, " ") + "; return";
        absl::StrAppend(&values, "    ", Pattern(command, flag), ") ", what, " ;;\n");
      }
    }
    absl::StrAppend(&words, "    ", command.name.empty() ? "''" : command.name, ") candidates=(",
                    absl::StrJoin(described, " "), ") ;;\n");
  }
  return absl::StrCat("#compdef ", app.get_name(), "\n", FunctionName(app),
                      "() {\n"
                      "  local flag=${words[CURRENT-1]} command= i\n"
                      "  local -a candidates\n"
                      "  if [[ ${words[CURRENT]} == --*=* ]]; then\n"
                      "    flag=${words[CURRENT]%%=*}\n"
                      "    compset -P '*='\n"
                      "  fi\n"
                      "  for ((i = 2; i < CURRENT; i++)); do\n"
                      "    case ${words[i]} in\n"
                      "    ",
                      absl::StrJoin(commands.front().words, "|"),
                      ") command=${words[i]}; break ;;\n"
                      "    esac\n"
                      "  done\n"
                      "  case $command:$flag in\n",
                      values,
                      "  esac\n"
                      "  case $command in\n",
                      words,
                      "  esac\n"
                      "  _describe -o ",
                      app.get_name(),
                      " candidates\n"
                      "}\n"
                      "compdef ",
                      FunctionName(app), " ", app.get_name(), "\n");
}

std::string FishFlag(const std::string& begin, const Flag& flag) {
  std::string line = begin;
  for (const std::string& name : flag.names) {
    const bool is_long = name.compare(0, 2, "--") == 0;
    absl::StrAppend(&line, is_long ? " -l " : " -s ", name.substr(is_long ? 2 : 1));
  }
  if (flag.is_file()) {
    line += " -r -F";
  } else if (!flag.shape.value_name.empty()) {
    absl::StrAppend(&line, " -x -a ", Quoted(absl::StrJoin(flag.shape.choices, " ")));
  }
  return absl::StrCat(line, " -d ", Quoted(flag.description), "\n");
}

std::string Fish(const CLI::App& app) {
  const std::vector<Command> commands = Commands(app);
  const std::string function = "_" + FunctionName(app) + "_command";
  std::string script = absl::StrCat("function ", function,
                                    "\n"
                                    "  for word in (commandline -opc)[2..-1]\n"
                                    "    if contains -- $word ",
                                    absl::StrJoin(commands.front().words, " "),
                                    "\n"
                                    "      echo $word\n"
                                    "      return\n"
                                    "    end\n"
                                    "  end\n"
                                    "  echo none\n"
                                    "end\n"
                                    "complete -c ",
                                    app.get_name(), " -f\n");
  for (const Command& command : commands) {
    const std::string begin =
        absl::StrCat("complete -c ", app.get_name(), " -n 'test (", function,
                     ") = ", command.name.empty() ? "none" : command.name, "'");
    for (const std::string& word : command.words) {
      absl::StrAppend(&script, begin, " -a ", word, "\n");
    }
    for (const Flag& flag : command.flags) {
      script += FishFlag(begin, flag);
    }
  }
  return script;
}

}  // namespace

void AddCompletionCommand(CLI::App& app) {
  CLI::App* command = app.add_subcommand(kCommand, "Print a script for completion in a shell");
  command->footer(absl::StrCat("For bash: source <(", app.get_name(), " completion bash)\n",
                               "For zsh:  source <(", app.get_name(), " completion zsh)\n",
                               "For fish: ", app.get_name(), " completion fish | source"));
  command->add_option(kShell)
      ->description("The shell")
      ->check(CLI::IsMember({"bash", "zsh", "fish"}))
      ->configurable(false)
      ->required();
}

bool WantsCompletion(const CLI::App& app) { return app.got_subcommand(kCommand); }

std::string CompletionScript(CLI::App& app) {
  const auto shell = app.get_subcommand(kCommand)->get_option(kShell)->as<std::string>();
  return shell == "bash" ? Bash(app) : shell == "zsh" ? Zsh(app) : Fish(app);
}

}  // namespace podtap
