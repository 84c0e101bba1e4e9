# Writes the texts of FILES in FOLDER as C++ to OUTPUT.
set(code "#include \"models_zoo/embedded.h\"\n\nnamespace nacre::zoo {\n\nstd::span<const EmbeddedText> embedded_texts() {\n")
string(APPEND code "  static constexpr EmbeddedText texts[] = {\n")
foreach(name IN LISTS FILES)
  file(READ "${FOLDER}/${name}" text)
  string(APPEND code "      {\"${name}\", R\"~~~(${text})~~~\"},\n")
endforeach()
string(APPEND code "  };\n  return texts;\n}\n\n}  // namespace nacre::zoo\n")
file(WRITE "${OUTPUT}" "${code}")
