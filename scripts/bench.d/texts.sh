# As `blobs`, with texts.

section_texts() {
  # shellcheck source=blobs.sh
  . "$bench/blobs.sh"
  large_values texts
}
