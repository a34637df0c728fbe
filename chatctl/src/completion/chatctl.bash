# Completion of chatctl for bash: asks `chatctl complete`.
_chatctl() {
    local words=() word joins=0 i
    # bash cuts words at : and =, which belong to them here: group:tea, --app=7.
    for ((i = 1; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ ${#words[@]} -gt 0 && ($joins -eq 1 || $word == [:=]*) && -n $word ]]; then
            words[-1]+=$word
        else
            words+=("$word")
        fi
        [[ $word == [:=] ]] && joins=1 || joins=0
    done
    for i in "${!words[@]}"; do
        word=${words[i]#[\'\"]}
        words[i]=${word%[\'\"]}
    done
    local current=${words[-1]} line
    local before=${current%"${current##*[:=]}"}
    COMPREPLY=()
    while IFS= read -r line; do
        line=${line%%$'\t'*}
        line=${line#"$before"}
        COMPREPLY+=("$(printf '%q' "$line")")
    done < <("${COMP_WORDS[0]}" complete -- "${words[@]}" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} -eq 0 ]]; then
        compopt -o default 2>/dev/null
    fi
}
complete -F _chatctl chatctl
