# Makes a list of components (CycloneDX 1.5) of a Cargo.lock, which names what is linked, and a little more.
BEGIN {
  FS = "\""
  printf "{\"bomFormat\":\"CycloneDX\",\"specVersion\":\"1.5\",\"version\":1,\"components\":["
}
function flush() {
  if (name != "" && sum != "") {
    printf "%s\n{\"type\":\"library\",\"name\":\"%s\",\"version\":\"%s\",\"purl\":\"pkg:cargo/%s@%s\",", comma, name, version, name, version
    printf "\"hashes\":[{\"alg\":\"SHA-256\",\"content\":\"%s\"}]}", sum
    comma = ","
  }
  name = version = sum = ""
}
/^\[\[package\]\]/ { flush() }
/^name = / { name = $2 }
/^version = / { version = $2 }
/^checksum = / { sum = $2 }
END {
  flush()
  print "\n]}"
}
