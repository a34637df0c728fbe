#compdef chatctl
# Completion of chatctl for zsh: asks `chatctl complete`.
_chatctl() {
    local -a found shown
    local word about
    while IFS=$'\t' read -r word about; do
        found+=("$word")
        shown+=("$word${about:+  -- $about}")
    done < <("${words[1]}" complete -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)
    if ((${#found})); then
        compadd -l -d shown -a found
    else
        _files
    fi
}
if [[ $funcstack[1] == _chatctl ]]; then
    _chatctl "$@"
else
    compdef _chatctl chatctl
fi
